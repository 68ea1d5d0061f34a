"""A bundle on disk: opened only if every byte is what its manifest declares.

The manifest is read once, and with a trust file its signature is checked on those bytes. A file
is read once for each use, and what is used is what was checked: never the file once more.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tactic_codec import nest
from tactic_codec.bundle_files import RENEW, parse, read_file, read_small
from tactic_codec.durable import replace_file
from tactic_codec.entropy import EntropyModel, read_models
from tactic_codec.errors import BundleError, PacketError, TableError, TrustError
from tactic_codec.manifest import Codec, FileEntry, Manifest
from tactic_codec.packet import Kind, Packet
from tactic_codec.reference import References
from tactic_codec.signing import Purpose, Signature
from tactic_codec.trust import Trust

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"

_SIGN = "get it from its maker again, or sign it with tactic bundle sign"


class Signatures(BaseModel):
    """``signature.json``: signatures over the bytes of ``manifest.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=16)]


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
    digest : str
        SHA-256 of the bytes of ``manifest.json``, 64 hexadecimal digits.
    signer : str or None
        Name of the trusted key that signed it; None if that was not asked.
    """

    path: Path
    manifest: Manifest
    models: tuple[EntropyModel, ...]
    digest: str
    signer: str | None

    @classmethod
    def open(
        cls, path: Path | str, trust: Trust | None = None, device_only: bool = False
    ) -> Bundle:
        """Read the manifest, check the SHA-256 of every file, load the entropy models.

        Parameters
        ----------
        path : Path
        trust : Trust, optional
            Keys one of which must have signed the manifest.
        device_only : bool
            Only what a node needs has to be there, and is checked.

        Raises
        ------
        BundleError
            One line that names the file and the remedy.
        TrustError
            No trusted key vouches for it.
        """
        root = Path(path)
        text = read_small(root / MANIFEST, "give the directory of a bundle")
        signer = _find_signer(root, text, trust) if trust else None
        manifest = parse(Manifest, root / MANIFEST, text)
        for entry in manifest.device_files if device_only else manifest.files:
            read_file(root, entry)
        models = _read_models(root, manifest.codec)
        return cls(root, manifest, models, hashlib.sha256(text).hexdigest(), signer)

    @property
    def codec(self) -> Codec:
        """The part both ends share; its ``id`` and ``wire_id`` name the bundle."""
        return self.manifest.codec

    def read(self, entry: FileEntry) -> bytes:
        """Content of a declared file, checked: see `read_file`."""
        return read_file(self.path, entry)

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
        frames, latents = (self._array(each) for each in (entries.frames, entries.latents))
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
            raise BundleError(f"{self.path / 'probe'}: frames and latents do not fit; {RENEW}")
        return frames.astype(np.uint8, copy=False), latents.astype(np.int8, copy=False)

    def references(self) -> References | None:
        """What latents usually look like, for each encoder; None where the bundle does not say.

        Raises
        ------
        BundleError
            The file does not fit the bundle.
        """
        entry = self.manifest.reference
        if entry is None:
            return None
        found = parse(References, self.path / entry.path, self.read(entry))
        channels = [len(each.histogram) for each in found.encoders]
        if channels != [self.codec.channels] * len(self.codec.encoders):
            raise BundleError(f"{self.path / entry.path}: not of this codec; {RENEW}")
        return found

    def _array(self, entry: FileEntry) -> NDArray[np.generic]:
        try:
            array: NDArray[np.generic] = np.load(io.BytesIO(self.read(entry)), allow_pickle=False)
        except (ValueError, EOFError) as fault:
            raise BundleError(f"{self.path / entry.path}: not an array file; {RENEW}") from fault
        return array


def file_entry(root: Path, relative: str) -> FileEntry:
    """Declare the file ``relative`` of the bundle in ``root``, as it lies there now."""
    path = root / relative
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path=relative, sha256=digest, size_bytes=path.stat().st_size)


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` whole or not at all; the last step of making a bundle."""
    _write(root / MANIFEST, manifest)


def write_signatures(root: Path, signatures: Signatures) -> None:
    """Write ``signature.json`` whole or not at all."""
    _write(root / SIGNATURE, signatures)


def _write(path: Path, model: BaseModel) -> None:
    replace_file(path, model.model_dump_json(indent=2).encode() + b"\n")


def find_signer(where: Path, text: bytes, signatures: bytes, trust: Trust) -> str:
    """Name of the trusted key that signed a manifest.

    Parameters
    ----------
    where : Path
        For messages.
    text, signatures : bytes
        Of ``manifest.json`` and ``signature.json``.
    trust : Trust

    Raises
    ------
    BundleError
        The signatures cannot be read.
    TrustError
        There is no such key.
    """
    given = parse(Signatures, where / SIGNATURE, signatures)
    try:
        return trust.verify(Purpose.BUNDLE, text, given.signatures).name
    except TrustError as fault:
        raise TrustError(f"{where / MANIFEST}: {fault}; {_SIGN}") from fault


def _find_signer(root: Path, text: bytes, trust: Trust) -> str:
    path = root / SIGNATURE
    if not path.exists():
        raise TrustError(f"{root}: not signed; {_SIGN}")
    return find_signer(root, text, read_small(path, _SIGN), trust)


def _read_models(root: Path, codec: Codec) -> tuple[EntropyModel, ...]:
    path = root / codec.entropy.path
    try:
        models = read_models(read_file(root, codec.entropy))
    except TableError as fault:
        raise BundleError(f"{path}: {fault}; {RENEW}") from fault
    found = [len(model.contexts) for model in models]
    chains = range(nest.chains(codec.levels))
    declared = [nest.layers(chain, codec.levels) * codec.channels for chain in chains]
    if found != declared:
        raise BundleError(f"{path}: models of {found} planes, declared are {declared}; {RENEW}")
    return models
