"""A whole bundle that costs next to nothing: what is tested with it is everything around it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tactic_codec import nest
from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.entropy import EntropyModel, write_models
from tactic_codec.manifest import Codec, Encoder, Geometry, Head, Manifest, Probe
from tactic_codec.tables import Table, TableSet

STRIDE, CHANNELS, SIDE_PX = 4, 3, 32
LABELS = ("dark", "middle", "bright")

ENCODER = """<ir_version: 9, opset_import: ["" : 17]>
encoder (int8[n, h, w, 3] frame) => (int8[n, 3, y, x] latent)
<int64[2] starts = {0, 0}, int64[2] ends = {10000, 10000}, int64[2] axes = {1, 2},
 int64[2] steps = {4, 4}>
{ thinned = Slice (frame, starts, ends, axes, steps)
  latent = Transpose <perm = [0, 3, 1, 2]> (thinned) }"""

DECODER = """<ir_version: 9, opset_import: ["" : 17]>
decoder (int8[n, 3, h, w] latent, int64[n, 3] level) => (uint8[n, y, x, 3] picture)
<float[4] scales = {1.0, 1.0, 4.0, 4.0}, float[1] middle = {128.0}>
{ real = Cast <to = 1> (latent)
  large = Resize <mode = "nearest"> (real, , scales)
  shifted = Add (large, middle)
  planes = Transpose <perm = [0, 2, 3, 1]> (shifted)
  picture = Cast <to = 2> (planes) }"""

HEAD = """<ir_version: 9, opset_import: ["" : 17]>
head (uint8[n, h, w, 3] picture) => (float[n, 3] scores)
<int64[1] axis = {1}, float[1, 3] weight = {-0.2, 0.0, 0.2}, float[3] bias = {17.0, 0.0, -34.0}>
{ real = Cast <to = 1> (picture)
  mean = ReduceMean <axes = [1, 2, 3], keepdims = 0> (real)
  column = Unsqueeze (mean, axis)
  logits = Gemm (column, weight, bias)
  scores = Softmax <axis = 1> (logits) }"""


def write_tiny_bundle(root: Path) -> Path:
    """A bundle that keeps every fourth pixel and sorts pictures by brightness.

    Its ``encoder.tflite`` is empty: nodes have to run it with ONNX Runtime. Needs onnx.
    """
    for folder in ("device", "gateway", "probe"):
        (root / folder).mkdir(parents=True)
    _write_networks(root)
    (root / "device/encoder.tflite").touch()
    table = Table.from_counts(np.ones(256), lo=-128)
    model = EntropyModel.static(TableSet((table,) * CHANNELS))
    (root / "device/entropy.bin").write_bytes(write_models((model,)))
    (root / "gateway/labels.txt").write_text("\n".join(LABELS) + "\n")
    (root / "model-card.md").write_text("# tiny\n")
    frames = np.random.default_rng(1).integers(0, 256, (1, SIDE_PX, SIDE_PX, 3), np.uint8)
    latents = (frames[:, ::STRIDE, ::STRIDE] ^ np.uint8(0x80)).view(np.int8).transpose(0, 3, 1, 2)
    np.save(root / "probe/frames.npy", frames)
    np.save(root / "probe/latents.npy", np.ascontiguousarray(latents)[None])
    write_manifest(root, _manifest(root))
    return root


def _write_networks(root: Path) -> None:
    import onnx
    from onnx import parser

    files = {"device/encoder.onnx": ENCODER, "gateway/decoder.onnx": DECODER}
    for path, text in (files | {"gateway/head.onnx": HEAD}).items():
        onnx.save(parser.parse_model(text), root / path)


def _manifest(root: Path) -> Manifest:
    codec = Codec(
        arch="tiny",
        stride=STRIDE,
        channels=CHANNELS,
        geometries=(Geometry(height=SIDE_PX, width=SIDE_PX),),
        levels=1,
        encoders=(
            Encoder(
                onnx=file_entry(root, "device/encoder.onnx"),
                tflite=file_entry(root, "device/encoder.tflite"),
            ),
        ),
        entropy=file_entry(root, "device/entropy.bin"),
        decoder=file_entry(root, "gateway/decoder.onnx"),
    )
    head = Head(
        name="brightness",
        task="classification",
        model=file_entry(root, "gateway/head.onnx"),
        labels=file_entry(root, "gateway/labels.txt"),
    )
    frames, latents = (file_entry(root, f"probe/{name}.npy") for name in ("frames", "latents"))
    return Manifest(
        format=1,
        name="tiny",
        created="2026-01-01",
        codec=codec,
        heads=(head,),
        probe=Probe(frames=frames, latents=latents),
        documents=(file_entry(root, "model-card.md"),),
    )


def nested(tiny: Bundle, levels: int) -> Bundle:
    """The tiny bundle with several rate levels; a symbol of any plane takes 8 bits."""
    changes = {"levels": levels, "encoders": tiny.codec.encoders * nest.chains(levels)}
    manifest = tiny.manifest.model_copy(update={"codec": tiny.codec.model_copy(update=changes)})
    (model,) = tiny.models
    models = tuple(
        EntropyModel(model.tables, model.contexts * nest.layers(chain, levels))
        for chain in range(nest.chains(levels))
    )
    return dataclasses.replace(tiny, manifest=manifest, models=models)
