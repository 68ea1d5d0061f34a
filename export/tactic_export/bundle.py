"""Write a bundle: everything into a folder beside the target, verified, then moved into place."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tactic_codec import manifest as declared
from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.entropy import write_models
from tactic_codec.manifest import Encoder, FileEntry, Geometry, Head, Manifest, Probe
from tactic_export import onnx_encoder, onnx_gateway, tflite_encoder
from tactic_export.errors import ExportError
from tactic_export.freeze import Frozen
from tactic_export.probe import probe_frames
from tactic_train.networks import Codec
from tactic_train.step import System

MAX_GEOMETRIES = 8
MAX_SIDE_PX = 8192
REFERENCE = "device/reference.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write.

    Attributes
    ----------
    name : str
        ``[a-z0-9_-]{1,64}``.
    head_name : str
    geometries : tuple of (height, width)
        1 … 8 sizes in pixels, multiples of the stride; the first is the default.
    level : int
        The rate level that the bundle recommends.
    license_file : Path, optional
        The licence of the weights.
    """

    name: str
    head_name: str
    geometries: tuple[tuple[int, int], ...]
    level: int = 0
    license_file: Path | None = None


def check(plan: Plan, codec: Codec) -> None:
    """Refuse a plan that no manifest could hold, before any work is done.

    Raises
    ------
    ExportError
        One line that names the value and the remedy.
    """
    if not re.fullmatch(r"[a-z0-9_-]{1,64}", plan.name):
        raise ExportError(f"--out {plan.name}: name the folder with a-z, 0-9, - and _ only")
    if len(plan.geometries) > MAX_GEOMETRIES:
        raise ExportError(f"{len(plan.geometries)} frame sizes; give at most {MAX_GEOMETRIES}")
    for height, width in plan.geometries:
        if (
            height % codec.stride
            or width % codec.stride
            or not 0 < height <= MAX_SIDE_PX >= width > 0
        ):
            raise ExportError(
                f"--geometry {width}x{height}: both sides must be multiples of {codec.stride}, "
                f"up to {MAX_SIDE_PX}"
            )
    if plan.level >= codec.levels:
        raise ExportError(f"--level {plan.level}: the codec has {codec.levels} rate levels")
    if plan.license_file and not plan.license_file.is_file():
        raise ExportError(f"{plan.license_file}: no such file; correct --license")


def write_files(system: System, frozen: Frozen, plan: Plan, root: Path) -> None:
    """Every file of the bundle but its manifest and documents."""
    for folder in ("device", "gateway", "probe"):
        (root / folder).mkdir()
    height, width = plan.geometries[0]
    for chain, encoder in enumerate(frozen.encoders):
        stem = root / f"device/encoder-{chain}"
        onnx_encoder.write_encoder(encoder, stem.with_suffix(".onnx"))
        tflite_encoder.write_encoder(encoder, stem.with_suffix(".tflite"), height, width)
    (root / "device/entropy.bin").write_bytes(write_models(frozen.models))
    if frozen.references:
        (root / REFERENCE).write_text(frozen.references.model_dump_json() + "\n")
    onnx_gateway.write_decoder(system.codec, root / "gateway/decoder.onnx")
    onnx_gateway.write_head(system.head, root / "gateway/head.onnx")
    (root / "gateway/labels.txt").write_text("\n".join(system.head.labels) + "\n")
    frames = probe_frames()
    np.save(root / "probe/frames.npy", frames)
    np.save(root / "probe/latents.npy", np.stack([each(frames) for each in frozen.encoders]))


def seal(system: System, frozen: Frozen, plan: Plan, root: Path) -> None:
    """Write the manifest over what lies in ``root``, and read the bundle back."""
    codec = declared.Codec(
        arch=system.codec.arch,
        stride=system.codec.stride,
        channels=system.codec.channels,
        geometries=tuple(Geometry(height=h, width=w) for h, w in plan.geometries),
        levels=system.codec.levels,
        encoders=tuple(
            Encoder(
                onnx=file_entry(root, f"device/encoder-{chain}.onnx"),
                tflite=file_entry(root, f"device/encoder-{chain}.tflite"),
            )
            for chain in range(len(frozen.encoders))
        ),
        entropy=file_entry(root, "device/entropy.bin"),
        decoder=file_entry(root, "gateway/decoder.onnx"),
    )
    head = Head(
        name=plan.head_name,
        task=system.head.task,
        model=file_entry(root, "gateway/head.onnx"),
        labels=file_entry(root, "gateway/labels.txt"),
    )
    manifest = Manifest(
        format=1,
        name=plan.name,
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        default_level=plan.level,
        codec=codec,
        heads=(head,),
        probe=Probe(
            frames=file_entry(root, "probe/frames.npy"),
            latents=file_entry(root, "probe/latents.npy"),
        ),
        reference=file_entry(root, REFERENCE) if frozen.references else None,
        documents=_documents(root),
    )
    write_manifest(root, manifest)
    written = Bundle.open(root)
    written.probe()
    written.references()


def _documents(root: Path) -> tuple[FileEntry, ...]:
    names = sorted(p.name for p in root.iterdir() if p.is_file())
    return tuple(file_entry(root, name) for name in names)


class Staging:
    """A folder beside the target that becomes the target, or vanishes.

    Used as a context manager; raises ExportError where the target is not a bundle to replace.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        try:
            if target.exists():
                Manifest.model_validate_json((target / "manifest.json").read_bytes())
            target.parent.mkdir(parents=True, exist_ok=True)
            self.root = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        except (FileNotFoundError, ValidationError) as fault:
            raise ExportError(
                f"{target}: exists and is not a bundle; choose another --out"
            ) from fault
        except OSError as fault:
            raise ExportError(f"{target}: {fault.strerror}; choose another --out") from fault
        self.root.chmod(0o755)

    def __enter__(self) -> Path:
        return self.root

    def __exit__(self, kind: object, fault: BaseException | None, *_: object) -> None:
        if kind is None:
            self._swap()
        else:
            shutil.rmtree(self.root, ignore_errors=True)
        if isinstance(fault, OSError):
            raise ExportError(
                f"{self.target}: {fault.strerror}; make room or choose another --out"
            ) from fault

    def _swap(self) -> None:
        # Renaming the old one first leaves a whole bundle in its place but for an instant.
        former = self.root.with_name(f"{self.root.name}.old")
        if self.target.exists():
            self.target.replace(former)
        self.root.replace(self.target)
        shutil.rmtree(former, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2) + "\n")
