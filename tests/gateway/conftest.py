"""A tiny bundle and everything around a gateway except the broker."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.contexts import Context
from tactic_codec.entropy import EntropyModel, write_models
from tactic_codec.manifest import Codec, Encoder, Geometry, Head, Manifest, Probe
from tactic_codec.packet import Kind, Packet, pack
from tactic_codec.tables import Table, TableSet
from tactic_gateway.condition import Condition
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.pipeline import Pipeline
from tactic_gateway.pipes import Patience
from tactic_gateway.records import Job
from tactic_gateway.results import Verdict
from tactic_gateway.store import Store

STRIDE, CHANNELS, LEVELS, CHAINS = 4, 4, 3, 2
SIZES = ((16, 16), (8, 24))
LABELS = ("dark", "middle", "bright")

MakePacket = Callable[..., bytes]


def write_decoder(path: Path) -> None:
    """Mean over the channels of latent · (level + 1), + 128, each latent drawn as a square."""
    onnx = pytest.importorskip("onnx", reason="onnx makes the networks of the tiny bundle")
    helper, kind = onnx.helper, onnx.TensorProto
    scales = helper.make_tensor("scales", kind.FLOAT, [4], [1.0, 1.0, STRIDE, STRIDE])
    middle = helper.make_tensor("middle", kind.FLOAT, [1], [128.0])
    low = helper.make_tensor("low", kind.FLOAT, [], [0.0])
    high = helper.make_tensor("high", kind.FLOAT, [], [255.0])
    one = helper.make_tensor("one", kind.INT64, [1], [1])
    column = helper.make_tensor("column", kind.INT64, [4], [-1, CHANNELS, 1, 1])
    nodes = [
        helper.make_node("Cast", ["latent"], ["float"], to=kind.FLOAT),
        helper.make_node("Add", ["level", "one"], ["step"]),
        helper.make_node("Cast", ["step"], ["wide"], to=kind.FLOAT),
        helper.make_node("Reshape", ["wide", "column"], ["steps"]),
        helper.make_node("Mul", ["float", "steps"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Resize", ["mean", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Add", ["large", "middle"], ["shifted"]),
        helper.make_node("Clip", ["shifted", "low", "high"], ["clipped"]),
        helper.make_node("Concat", ["clipped"] * 3, ["rgb"], axis=1),
        helper.make_node("Transpose", ["rgb"], ["nhwc"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["nhwc"], ["picture"], to=kind.UINT8),
    ]
    latent = helper.make_tensor_value_info("latent", kind.INT8, ["n", CHANNELS, "h", "w"])
    picture = helper.make_tensor_value_info("picture", kind.UINT8, ["n", "y", "x", 3])
    level = helper.make_tensor_value_info("level", kind.INT64, ["n", CHANNELS])
    constants = [scales, middle, low, high, one, column]
    graph = helper.make_graph(nodes, "decoder", [latent, level], [picture], constants)
    save(onnx, graph, path)


def write_head(path: Path) -> None:
    """Three classes by mean brightness."""
    onnx = pytest.importorskip("onnx", reason="onnx makes the networks of the tiny bundle")
    helper, kind = onnx.helper, onnx.TensorProto
    weight = helper.make_tensor("weight", kind.FLOAT, [1, 3], [-0.2, 0.0, 0.2])
    bias = helper.make_tensor("bias", kind.FLOAT, [3], [25.6 - 2, 0.0, -25.6 - 2])
    nodes = [
        helper.make_node("Cast", ["picture"], ["float"], to=kind.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "axis"], ["column"]),
        helper.make_node("Gemm", ["column", "weight", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    axis = helper.make_tensor("axis", kind.INT64, [1], [1])
    picture = helper.make_tensor_value_info("picture", kind.UINT8, ["n", "h", "w", 3])
    scores = helper.make_tensor_value_info("scores", kind.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "head", [picture], [scores], [weight, bias, axis])
    save(onnx, graph, path)


SEGMENTER = """<ir_version: 9, opset_import: ["" : 17]>
segmenter (uint8[n, h, w, 3] picture) => (uint8[n, h, w] mask)
<int64[1] axis = {3}, int64[1] zero = {0}, int64[1] one = {1}, float[1] third = {85.5}>
{ red = Slice (picture, zero, one, axis)
  plane = Squeeze (red, axis)
  real = Cast <to = 1> (plane)
  scaled = Div (real, third)
  mask = Cast <to = 2> (scaled) }"""


def write_segmenter(path: Path) -> None:
    """Three classes by the brightness of a pixel: below 86, below 171, above."""
    onnx = pytest.importorskip("onnx", reason="onnx makes the networks of the tiny bundle")
    onnx.save(importlib.import_module("onnx.parser").parse_model(SEGMENTER), path)


def save(onnx: Any, graph: Any, path: Path) -> None:
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def write_bundle(
    root: Path,
    arch: str = "tiny",
    labels: tuple[str, ...] = LABELS,
    task: Literal["classification", "segmentation"] = "classification",
) -> Path:
    """A bundle whose id follows from ``arch``."""
    for folder in ("device", "gateway", "probe"):
        (root / folder).mkdir(parents=True)
    write_decoder(root / "gateway/decoder.onnx")
    (write_head if task == "classification" else write_segmenter)(root / "gateway/head.onnx")
    (root / "gateway/labels.txt").write_text("\n".join(labels) + "\n")
    for chain in range(CHAINS):
        (root / f"device/encoder-{chain}.onnx").write_bytes(b"not used here")
        (root / f"device/encoder-{chain}.tflite").write_bytes(b"not used here")
    tables = TableSet((Table.from_counts(np.ones(41), lo=-20), Table.from_counts(np.ones(3), -1)))
    first, refined = (Context(0),) * CHANNELS, (Context(1),) * CHANNELS
    models = EntropyModel(tables, first + refined), EntropyModel(tables, first)
    (root / "device/entropy.bin").write_bytes(write_models(models))
    np.save(root / "probe/frames.npy", np.zeros((1, *SIZES[0], 3), np.uint8))
    np.save(root / "probe/latents.npy", np.zeros((CHAINS, 1, CHANNELS, 4, 4), np.int8))
    codec = Codec(
        arch=arch,
        stride=STRIDE,
        channels=CHANNELS,
        geometries=tuple(Geometry(height=h, width=w) for h, w in SIZES),
        levels=LEVELS,
        encoders=tuple(
            Encoder(
                onnx=file_entry(root, f"device/encoder-{chain}.onnx"),
                tflite=file_entry(root, f"device/encoder-{chain}.tflite"),
            )
            for chain in range(CHAINS)
        ),
        entropy=file_entry(root, "device/entropy.bin"),
        decoder=file_entry(root, "gateway/decoder.onnx"),
    )
    head = Head(
        name="brightness",
        task=task,
        model=file_entry(root, "gateway/head.onnx"),
        labels=file_entry(root, "gateway/labels.txt"),
    )
    frames, latents = (file_entry(root, f"probe/{name}.npy") for name in ("frames", "latents"))
    probe = Probe(frames=frames, latents=latents)
    write_manifest(
        root,
        Manifest(
            format=1, name="tiny", created="2026-01-01", codec=codec, heads=(head,), probe=probe
        ),
    )
    return root


def replace_file(root: Path, relative: str, content: bytes) -> Bundle:
    """Put other content into a bundle, and declare it."""
    (root / relative).write_bytes(content)

    def renew(value: Any) -> Any:
        if isinstance(value, list):
            return [renew(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("path") == relative:
            return file_entry(root, relative).model_dump()
        return {key: renew(each) for key, each in value.items()}

    manifest = root / "manifest.json"
    manifest.write_text(json.dumps(renew(json.loads(manifest.read_text()))))
    return Bundle.open(root)


@pytest.fixture
def replaced() -> Callable[[Path, str, bytes], Bundle]:
    return replace_file


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes further bundles, for example one whose labels do not fit."""
    return lambda arch, labels=LABELS, task="classification": write_bundle(
        tmp_path / arch, arch, labels, task
    )


def flat(value: int, geometry: int = 0) -> NDArray[np.int8]:
    height, width = SIZES[geometry]
    return np.full((CHANNELS, height // STRIDE, width // STRIDE), value, np.int8)


@pytest.fixture
def make_frame(bundle: Bundle) -> MakePacket:
    """Bytes of a frame of level 0 or 1 whose symbols all have one value."""

    def make(
        pkt: int, value: int = 0, geometry: int = 0, payload: bytes | None = None, **fields: Any
    ) -> bytes:
        chain = nest.chain(fields.get("level", 0))
        layers = nest.layers(chain, LEVELS)
        coded = stream.encode(nest.split(flat(value, geometry), layers), bundle.models[chain])
        values = {"boot": 7, "bundle": bundle.codec.wire_id, "layers": layers, **fields}
        chosen = coded if payload is None else payload
        return pack(Packet(kind=Kind.FRAME, pkt=pkt, payload=chosen, geometry=geometry, **values))

    return make


@pytest.fixture
def store(tmp_path: Path, bundle: Bundle) -> Iterator[Store]:
    opened = Store(tmp_path / "gateway.db")
    opened.requeue([bundle.codec.wire_id])
    yield opened
    opened.close()


@pytest.fixture
def condition(store: Store, log: Log) -> Condition:
    """A condition that fails when its store fails, and has any room."""
    return Condition(store.database.path, 1 << 20, Metrics(), log, lambda _: 1 << 40)


class Local:
    """A worker in this process: what is decoded is the same, and quicker to start."""

    def __init__(self, bundle: Bundle) -> None:
        self._pipeline = Pipeline(bundle, threads=1, top=2)

    def start(self, left_s: Patience) -> None:
        pass

    def process(self, jobs: Sequence[Job], left_s: Patience) -> list[Verdict]:
        return self._pipeline.process([job.raws for job in jobs])

    def stop(self) -> None:
        pass


@pytest.fixture
def local(bundle: Bundle) -> Local:
    return Local(bundle)


@pytest.fixture
def lines() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(lines: io.StringIO) -> Log:
    return Log(lines)


@pytest.fixture
def events(lines: io.StringIO) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [json.loads(line) for line in lines.getvalue().splitlines()]
