"""A tiny bundle whose encoder keeps every fourth pixel, and a place for everything else."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.contexts import Context
from tactic_codec.entropy import EntropyModel, write_models
from tactic_codec.manifest import Codec, Encoder, Geometry, Head, Manifest, Probe
from tactic_codec.tables import Table, TableSet
from tactic_device import journal
from tactic_device.log import Log

STRIDE, CHANNELS, LEVELS = 4, 3, 3
SIZES = ((16, 24), (32, 32))

Events = Callable[[], list[dict[str, Any]]]


def latents(pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    """What the tiny encoder gives for pixels (H, W, 3)."""
    thinned = pixels[::STRIDE, ::STRIDE].astype(np.int16) - 128
    return np.ascontiguousarray(thinned.transpose(2, 0, 1).astype(np.int8))


def models() -> tuple[EntropyModel, EntropyModel]:
    """Of levels 0 and 2, and of level 1: one table for symbols, one for refinements."""
    steps = np.abs(np.arange(-128, 128))
    tables = TableSet(tuple(Table.from_counts(np.exp(-steps / width), -128) for width in (9, 1)))
    first, refined = (Context(0),) * CHANNELS, (Context(1),) * CHANNELS
    return EntropyModel(tables, first + refined), EntropyModel(tables, first)


def write_onnx(path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx makes the tiny encoder")
    helper, kind = onnx.helper, onnx.TensorProto
    constants = {"starts": [0, 0], "ends": [1 << 30] * 2, "axes": [1, 2], "steps": [STRIDE] * 2}
    tensors = [helper.make_tensor(k, kind.INT64, [2], v) for k, v in constants.items()]
    nodes = [
        helper.make_node("Slice", ["frame", *constants], ["thinned"]),
        helper.make_node("Transpose", ["thinned"], ["latent"], perm=[0, 3, 1, 2]),
    ]
    frame = helper.make_tensor_value_info("frame", kind.INT8, ["n", "h", "w", 3])
    latent = helper.make_tensor_value_info("latent", kind.INT8, ["n", 3, "y", "x"])
    graph = helper.make_graph(nodes, "encoder", [frame], [latent], tensors)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def write_tflite(path: Path) -> None:
    reason = "ai-edge-litert makes the tiny encoder"
    s = pytest.importorskip("ai_edge_litert.schema_py_generated", reason=reason)
    flatbuffers = pytest.importorskip("flatbuffers", reason=reason)
    buffers, tensors = [s.BufferT()], []

    def tensor(name: str, shape: list[int], kind: int, values: list[int] | None = None) -> int:
        buffer = 0
        if values is not None:
            data = s.BufferT()
            data.data = np.frombuffer(np.asarray(values, np.int32).tobytes(), np.uint8)
            buffers.append(data)
            buffer = len(buffers) - 1
        grid = s.QuantizationParametersT(scale=[1.0], zeroPoint=[0])
        made = s.TensorT(shape=shape, type=kind, buffer=buffer, name=name)
        if values is None:
            made.quantization = grid
            made.shapeSignature = [-1, -1, -1, shape[3]]
        tensors.append(made)
        return len(tensors) - 1

    int8, int32 = s.TensorType.INT8, s.TensorType.INT32
    frame = tensor("frame", [1, 16, 24, 3], int8)
    zeros = tensor("begin", [4], int32, [0] * 4)
    ends = tensor("end", [4], int32, [0] * 4)
    steps = tensor("steps", [4], int32, [1, STRIDE, STRIDE, 1])
    latent = tensor("latent", [1, 4, 6, 3], int8)
    options = s.StridedSliceOptionsT(beginMask=15, endMask=15)
    operator = s.OperatorT(
        inputs=[frame, zeros, ends, steps],
        outputs=[latent],
        builtinOptionsType=s.BuiltinOptions.StridedSliceOptions,
        builtinOptions=options,
    )
    slice_code = s.BuiltinOperator.STRIDED_SLICE
    code = s.OperatorCodeT(deprecatedBuiltinCode=slice_code, builtinCode=slice_code, version=2)
    graph = s.SubGraphT(tensors=tensors, inputs=[frame], outputs=[latent], operators=[operator])
    model = s.ModelT(version=3, operatorCodes=[code], subgraphs=[graph], buffers=buffers)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def write_bundle(root: Path, wrong_by: int = 0) -> Path:
    """Write a bundle; ``wrong_by`` is added to the latents that its probe demands."""
    for folder in ("device", "gateway", "probe"):
        (root / folder).mkdir(parents=True)
    for chain in range(2):
        write_onnx(root / f"device/encoder-{chain}.onnx")
        write_tflite(root / f"device/encoder-{chain}.tflite")
    (root / "device/entropy.bin").write_bytes(write_models(models()))
    for name in ("decoder.onnx", "head.onnx", "labels.txt"):
        (root / "gateway" / name).write_bytes(b"not used here")
    frames = np.random.default_rng(1).integers(0, 250, (2, 16, 24, 3), np.uint8)
    np.save(root / "probe/frames.npy", frames)
    expected = np.stack([latents(frame) for frame in frames]) + np.int8(wrong_by)
    np.save(root / "probe/latents.npy", np.stack([expected, expected]))
    entry = {
        name: file_entry(root, name)
        for name in (p.relative_to(root).as_posix() for p in root.rglob("*.*"))
    }
    codec = Codec(
        arch="tiny",
        stride=STRIDE,
        channels=CHANNELS,
        geometries=tuple(Geometry(height=h, width=w) for h, w in SIZES),
        levels=LEVELS,
        encoders=tuple(
            Encoder(
                onnx=entry[f"device/encoder-{chain}.onnx"],
                tflite=entry[f"device/encoder-{chain}.tflite"],
            )
            for chain in range(2)
        ),
        entropy=entry["device/entropy.bin"],
        decoder=entry["gateway/decoder.onnx"],
    )
    head = Head(
        name="none",
        task="classification",
        model=entry["gateway/head.onnx"],
        labels=entry["gateway/labels.txt"],
    )
    probe = Probe(frames=entry["probe/frames.npy"], latents=entry["probe/latents.npy"])
    manifest = Manifest(
        format=1,
        name="tiny",
        created="2026-01-01",
        default_level=1,
        codec=codec,
        heads=(head,),
        probe=probe,
    )
    write_manifest(root, manifest)
    return root


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))


@pytest.fixture
def wrong_bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(write_bundle(tmp_path / "wrong", wrong_by=3))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures of 40 × 60, each of one grey."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(4):
        cv2.imwrite(str(folder / f"{n}.png"), np.full((40, 60, 3), 40 * n, np.uint8))
    return folder


@pytest.fixture
def lines() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(lines: io.StringIO) -> Log:
    return Log(lines)


@pytest.fixture
def events(lines: io.StringIO) -> Events:
    return lambda: [json.loads(line) for line in lines.getvalue().splitlines()]


class Medium:
    """Stands in for ``os`` below the logs: fails on demand, and knows what a power cut leaves."""

    OPERATIONS = ("open", "pwrite", "fdatasync", "fsync", "pread", "unlink")

    def __init__(self) -> None:
        self.broken: dict[str, dict[str, int]] = {}
        self.synced: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fail(self, folder: Path, *operations: str, code: int = errno.EIO) -> None:
        """From now on these operations fail in a folder; all of them unless named."""
        self.broken[str(folder)] = dict.fromkeys(operations or self.OPERATIONS, code)

    def heal(self) -> None:
        self.broken.clear()

    def cut_power(self, disk: Path, memory: Path) -> None:
        """What was not synced is gone, and so is everything in memory."""
        shutil.rmtree(memory, ignore_errors=True)
        for path in disk.glob("*.seg"):
            os.truncate(path, min(path.stat().st_size, self.synced.get(str(path), 0)))

    def open(self, path: Any, *args: Any) -> int:
        self._check("open", str(path))
        return os.open(path, *args)

    def unlink(self, path: Any) -> None:
        self._check("unlink", str(path))
        Path(path).unlink()

    def pwrite(self, file: int, data: bytes, at: int) -> int:
        self._check("pwrite", self._path(file))
        return os.pwrite(file, data, at)

    def pread(self, file: int, length: int, at: int) -> bytes:
        self._check("pread", self._path(file))
        return os.pread(file, length, at)

    def fdatasync(self, file: int) -> None:
        path = self._path(file)
        self._check("fdatasync", path)
        self.synced[path] = os.fstat(file).st_size

    def fsync(self, file: int) -> None:
        self._check("fsync", self._path(file))

    def _path(self, file: int) -> str:
        return str(Path(f"/proc/self/fd/{file}").readlink())

    def _check(self, operation: str, path: str) -> None:
        for folder, operations in self.broken.items():
            if operation in operations and path.startswith(folder):
                raise OSError(operations[operation], os.strerror(operations[operation]))


@pytest.fixture
def medium(monkeypatch: pytest.MonkeyPatch) -> Medium:
    """The medium below every log; it never waits for a real disk."""
    made = Medium()
    monkeypatch.setattr(journal, "os", made)
    return made
