"""A bundle on disk: opened only if every byte is what its manifest declares.

Reading a bundle's directory is the one place where this room touches files.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tactic_codec import nest
from tactic_codec.entropy import EntropyModel, read_models
from tactic_codec.errors import BundleError, PacketError, TableError
from tactic_codec.manifest import Codec, FileEntry, Manifest
from tactic_codec.packet import Kind, Packet

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20

_RENEW = "fetch or export the bundle again"


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    path : Path
        Its directory.
    manifest : Manifest
    models : tuple of EntropyModel
        Of each chain of rate levels.
    """

    path: Path
    manifest: Manifest
    models: tuple[EntropyModel, ...]

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """Read the manifest, check the SHA-256 of every file, load the entropy models.

        Raises
        ------
        BundleError
            One line that names the file and the remedy.
        """
        root = Path(path)
        manifest = _read_manifest(root)
        for entry in manifest.files:
            _verify(root, entry)
        return cls(root, manifest, _read_models(root, manifest.codec))

    @property
    def codec(self) -> Codec:
        """The part both ends share; its ``id`` and ``wire_id`` name the bundle."""
        return self.manifest.codec

    def file(self, entry: FileEntry) -> Path:
        """Where a declared file lies."""
        return self.path / entry.path

    def latent_shape(self, packet: Packet) -> tuple[int, int]:
        """Height and width of the planes of a frame packet: only what is declared is chosen.

        Raises
        ------
        PacketError
            With ``reason`` ``bundle``, ``level``, ``geometry`` or ``layers``: the packet asks
            for what this bundle does not declare.
        """
        codec = self.codec
        if packet.kind is not Kind.FRAME:
            raise ValueError(f"no geometry in a packet of kind {packet.kind.name}")
        if packet.bundle != codec.wire_id:
            raise PacketError("bundle", f"bundle {packet.bundle:04x}, here {codec.wire_id:04x}")
        if packet.level >= codec.levels:
            raise PacketError("level", f"{packet.level} of {codec.levels}")
        if packet.geometry >= len(codec.geometries):
            raise PacketError("geometry", f"{packet.geometry} of {len(codec.geometries)}")
        layers = nest.layers(packet.level, codec.levels)
        if packet.layers != layers:
            raise PacketError("layers", f"{packet.layers}, not {layers} at level {packet.level}")
        geometry = codec.geometries[packet.geometry]
        return geometry.height // codec.stride, geometry.width // codec.stride

    def probe(self) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
        """Frames uint8 (N, H, W, 3) and the latents int8 (K, N, C, h, w) they must give.

        K is the number of encoders.

        Raises
        ------
        BundleError
            The arrays have other types or shapes.
        """
        entries = self.manifest.probe
        frames = _load_array(self.file(entries.frames))
        latents = _load_array(self.file(entries.latents))
        codec = self.codec
        height, width = frames.shape[1:3] if frames.ndim == 4 else (0, 0)
        shape = (codec.channels, height // codec.stride, width // codec.stride)
        expected = (len(codec.encoders), len(frames), *shape)
        if (
            frames.dtype != np.uint8
            or frames.shape[3:] != (3,)
            or latents.dtype != np.int8
            or latents.shape != expected
        ):
            raise BundleError(f"{self.path / 'probe'}: frames and latents do not fit; {_RENEW}")
        return frames.astype(np.uint8, copy=False), latents.astype(np.int8, copy=False)


def file_entry(root: Path, relative: str) -> FileEntry:
    """Declare the file ``relative`` of the bundle in ``root``, as it lies there now."""
    path = root / relative
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path=relative, sha256=digest, size_bytes=path.stat().st_size)


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` whole or not at all; the last step of making a bundle."""
    partial = root / f".{MANIFEST}.partial"
    with partial.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(root / MANIFEST)


def _read_manifest(root: Path) -> Manifest:
    path = root / MANIFEST
    try:
        with path.open("rb") as file:
            text = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as fault:
        raise BundleError(f"{path}: {fault.strerror}; give the directory of a bundle") from fault
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: larger than {MAX_MANIFEST_BYTES} bytes; {_RENEW}")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = " ".join(first["msg"].split())
        raise BundleError(f"{path}: {where}: {problem}; {_RENEW}") from fault


def _verify(root: Path, entry: FileEntry) -> None:
    path = root / entry.path
    try:
        # A link could lead out of the bundle, and opening a pipe would wait for ever.
        if path.resolve() != root.resolve() / entry.path or not path.is_file():
            raise BundleError(f"{path}: missing or not a plain file; {_RENEW}")
        found = file_entry(root, entry.path)
    except OSError as fault:
        raise BundleError(f"{path}: {fault.strerror}; {_RENEW}") from fault
    if found != entry:
        raise BundleError(f"{path}: not the file that {MANIFEST} declares; {_RENEW}")


def _read_models(root: Path, codec: Codec) -> tuple[EntropyModel, ...]:
    path = root / codec.entropy.path
    try:
        models = read_models(path.read_bytes())
    except (OSError, TableError) as fault:
        raise BundleError(f"{path}: {fault}; {_RENEW}") from fault
    found = [len(model.contexts) for model in models]
    chains = range(nest.chains(codec.levels))
    declared = [nest.layers(chain, codec.levels) * codec.channels for chain in chains]
    if found != declared:
        raise BundleError(f"{path}: models of {found} planes, declared are {declared}; {_RENEW}")
    return models


def _load_array(path: Path) -> NDArray[np.generic]:
    try:
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        raise BundleError(f"{path}: not an array file; {_RENEW}") from fault
    return array
