"""Bundles: one that opens, and every way in which one must not."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.bundle_files import MAX_MANIFEST_BYTES
from tactic_codec.contexts import Context
from tactic_codec.entropy import EntropyModel, write_models
from tactic_codec.errors import BundleError, PacketError
from tactic_codec.manifest import Codec, Encoder, Geometry, Head, Manifest, Probe
from tactic_codec.packet import Kind, Packet
from tactic_codec.tables import SCALE, Table, TableSet

CHANNELS, LEVELS = 3, 4
#: planes of the streams of the two chains: levels 0 and 2, levels 1 and 3
PLANES = (6, 6)
Change = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def models_of(*planes: int) -> bytes:
    """An entropy file whose models have so many planes."""
    tables = TableSet((Table(-1, (1000, SCALE - 2001, 1000), 1),))
    return write_models(tuple(EntropyModel(tables, (Context(0),) * count) for count in planes))


ENCODERS = [f"device/encoder-{chain}.{end}" for chain in range(2) for end in ("onnx", "tflite")]


def make_bundle(root: Path) -> Path:
    """A bundle of the right form; its networks are not networks."""
    for folder in ("device", "gateway", "probe"):
        (root / folder).mkdir(parents=True)
    (root / "device/entropy.bin").write_bytes(models_of(*PLANES))
    for name in (*ENCODERS, "gateway/decoder.onnx"):
        (root / name).write_bytes(name.encode())
    (root / "gateway/head.onnx").write_bytes(b"head")
    (root / "gateway/labels.txt").write_text("cat\ndog\n")
    (root / "LICENSE-WEIGHTS.txt").write_text("licence\n")
    np.save(root / "probe/frames.npy", np.zeros((2, 16, 24, 3), np.uint8))
    np.save(root / "probe/latents.npy", np.zeros((2, 2, CHANNELS, 2, 3), np.int8))
    write_manifest(root, manifest(root))
    return root


def manifest(root: Path) -> Manifest:
    codec = Codec(
        arch="test",
        stride=8,
        channels=CHANNELS,
        geometries=(Geometry(height=16, width=24), Geometry(height=160, width=160)),
        levels=LEVELS,
        encoders=tuple(
            Encoder(
                onnx=file_entry(root, f"device/encoder-{chain}.onnx"),
                tflite=file_entry(root, f"device/encoder-{chain}.tflite"),
            )
            for chain in range(2)
        ),
        entropy=file_entry(root, "device/entropy.bin"),
        decoder=file_entry(root, "gateway/decoder.onnx"),
    )
    head = Head(
        name="animals",
        task="classification",
        model=file_entry(root, "gateway/head.onnx"),
        labels=file_entry(root, "gateway/labels.txt"),
    )
    return Manifest(
        format=1,
        name="test",
        created="2026-01-01T00:00:00Z",
        codec=codec,
        heads=(head,),
        probe=Probe(
            frames=file_entry(root, "probe/frames.npy"),
            latents=file_entry(root, "probe/latents.npy"),
        ),
        documents=(file_entry(root, "LICENSE-WEIGHTS.txt"),),
    )


def test_open(root: Path) -> None:
    bundle = Bundle.open(str(root))
    assert bundle.manifest == manifest(root)
    assert bundle.codec.id == Bundle.open(root).codec.id
    assert bundle.codec.wire_id == int(bundle.codec.id[:4], 16)
    assert tuple(len(model.contexts) for model in bundle.models) == PLANES
    assert bundle.models[0].tables is bundle.models[1].tables
    assert bundle.read(bundle.manifest.heads[0].labels) == b"cat\ndog\n"
    frames, latents = bundle.probe()
    assert (frames.shape, latents.shape) == ((2, 16, 24, 3), (2, 2, CHANNELS, 2, 3))


def test_a_new_head_does_not_change_the_codec(root: Path) -> None:
    before = Bundle.open(root).codec.id
    (root / "gateway/head.onnx").write_bytes(b"retrained")
    write_manifest(root, manifest(root))
    assert Bundle.open(root).codec.id == before


def test_files_that_are_not_declared_are_left_alone(root: Path) -> None:
    (root / "notes.txt").write_text("mine")
    Bundle.open(root)


def edit(change: Callable[[dict[str, Any]], object]) -> Change:
    """A change to the manifest's JSON."""

    def apply(root: Path) -> None:
        path = root / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def replace_by_link(root: Path) -> None:
    shutil.move(root / "device/entropy.bin", root.parent / "entropy.bin")
    (root / "device/entropy.bin").symlink_to(root.parent / "entropy.bin")


def replace_by_pipe(root: Path) -> None:
    (root / "gateway/labels.txt").unlink()
    os.mkfifo(root / "gateway/labels.txt")


def other_models(data: bytes) -> Change:
    """An entropy file whose digest is right and whose content is not."""

    def apply(root: Path) -> None:
        (root / "device/entropy.bin").write_bytes(data)
        write_manifest(root, manifest(root))

    return apply


@pytest.mark.parametrize(
    ("change", "file"),
    [
        (shutil.rmtree, "manifest.json"),
        (lambda r: (r / "manifest.json").unlink(), "manifest.json"),
        (lambda r: (r / "manifest.json").write_text("{"), "manifest.json"),
        (lambda r: (r / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json"),
        (lambda r: (r / "manifest.json").write_bytes(b" " * (MAX_MANIFEST_BYTES + 1)), "larger"),
        (edit(lambda m: m.update(format=2)), "format"),
        (edit(lambda m: m.update(extra=1)), "extra"),
        (edit(lambda m: m.pop("heads")), "heads"),
        (edit(lambda m: m["codec"].update(layers=[3, 3])), "codec.layers"),
        (edit(lambda m: m["codec"].update(levels=0)), "codec.levels"),
        (edit(lambda m: m["codec"].update(levels=9)), "codec.levels"),
        (edit(lambda m: m["codec"].update(levels=1)), "2 encoders for 1 rate levels"),
        (edit(lambda m: m["codec"].update(levels=[])), "codec.levels"),
        (edit(lambda m: m["codec"]["encoders"].pop()), "1 encoders for 4 rate levels"),
        (edit(lambda m: m["codec"]["encoders"].clear()), "codec.encoders"),
        (edit(lambda m: m["codec"]["encoders"].append(m["codec"]["encoders"][0])), "encoders"),
        (edit(lambda m: m["codec"]["encoders"][1].pop("onnx")), "codec.encoders.1.onnx"),
        (edit(lambda m: m["codec"]["encoders"].__setitem__(1, m["codec"]["encoders"][0])), "twice"),
        (edit(lambda m: m["codec"].update(stride=7)), "codec"),
        (edit(lambda m: m["codec"].update(channels=4)), "[6, 6] planes, declared are [8, 8]"),
        (edit(lambda m: m["codec"]["geometries"].clear()), "codec.geometries"),
        (edit(lambda m: m["heads"].append(m["heads"][0])), "twice"),
        (edit(lambda m: m.update(default_level=LEVELS)), "default_level 4"),
        (edit(lambda m: m["codec"]["entropy"].update(path="../entropy.bin")), "codec.entropy.path"),
        (edit(lambda m: m["codec"]["entropy"].update(path="/etc/passwd")), "codec.entropy.path"),
        (edit(lambda m: m["codec"]["entropy"].update(path="device\\t.bin")), "codec.entropy.path"),
        (edit(lambda m: m["codec"]["entropy"].update(path="device//t.bin")), "codec.entropy.path"),
        (edit(lambda m: m["codec"]["entropy"].update(path="a.bin\n")), "codec.entropy.path"),
        (edit(lambda m: m["codec"]["entropy"].update(sha256="0" * 64)), "device/entropy.bin"),
        (edit(lambda m: m["codec"]["entropy"].update(sha256="x")), "codec.entropy.sha256"),
        (edit(lambda m: m["documents"][0].update(size_bytes=1)), "LICENSE-WEIGHTS.txt"),
        (lambda r: (r / "device/encoder-0.tflite").unlink(), "device/encoder-0.tflite"),
        (lambda r: (r / "device/encoder-1.tflite").write_bytes(b"x"), "device/encoder-1.tflite"),
        (lambda r: (r / "gateway/head.onnx").write_bytes(b"haed"), "gateway/head.onnx"),
        (replace_by_link, "device/entropy.bin"),
        (replace_by_pipe, "gateway/labels.txt"),
        (other_models(b"no models"), "device/entropy.bin"),
        (other_models(models_of(6)), "models of [6] planes, declared are [6, 6]"),
        (other_models(models_of(6, 3)), "models of [6, 3] planes"),
        (other_models(models_of(3, 6)), "models of [3, 6] planes"),
    ],
)
def test_anything_wrong_is_refused_in_one_line(root: Path, change: Change, file: str) -> None:
    change(root)
    with pytest.raises(BundleError) as caught:
        Bundle.open(root)
    message = str(caught.value)
    assert file in message
    assert message.startswith(str(root))
    assert message.endswith(("fetch or export the bundle again", "give the directory of a bundle"))
    assert "\n" not in message
    assert caught.value.exit_code == 4


def test_every_changed_byte_of_every_file_is_noticed(root: Path) -> None:
    for entry in Bundle.open(root).manifest.files:
        path = root / entry.path
        data = path.read_bytes()
        for at in {0, len(data) // 2, len(data) - 1}:
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with pytest.raises(BundleError, match=path.name):
                Bundle.open(root)
        path.write_bytes(data)
    Bundle.open(root)


@pytest.mark.parametrize(
    ("frames", "latents"),
    [
        (np.zeros((2, 16, 24, 3), np.int8), np.zeros((2, 2, CHANNELS, 2, 3), np.int8)),
        (np.zeros((2, 16, 24), np.uint8), np.zeros((2, 2, CHANNELS, 2, 3), np.int8)),
        (np.zeros((2, 16, 24, 3), np.uint8), np.zeros((1, CHANNELS, 2, 3), np.int8)),
        (np.zeros((2, 16, 24, 3), np.uint8), np.zeros((2, CHANNELS, 2, 3), np.int8)),
        (np.zeros((2, 16, 24, 3), np.uint8), np.zeros((2, 2, CHANNELS, 2, 3), np.int16)),
        (np.zeros((2, 16, 24, 3), np.uint8), np.zeros((LEVELS, 2, CHANNELS, 2, 3), np.int8)),
        (np.zeros((2, 16, 24, 3), np.uint8), np.array([{}], dtype=object)),
    ],
)
def test_probe_arrays_are_checked(
    root: Path, frames: np.ndarray[Any, Any], latents: np.ndarray[Any, Any]
) -> None:
    np.save(root / "probe/frames.npy", frames)
    np.save(root / "probe/latents.npy", latents, allow_pickle=True)
    write_manifest(root, manifest(root))
    with pytest.raises(BundleError, match="probe"):
        Bundle.open(root).probe()


def test_a_packet_selects_only_what_is_declared(root: Path) -> None:
    bundle = Bundle.open(root)
    for level, layers in enumerate((2, 2, 1, 1)):
        for geometry, shape in enumerate(((2, 3), (20, 20))):
            fields = {"level": level, "layers": layers, "geometry": geometry}
            packet = Packet(Kind.FRAME, 1, 1, bundle=bundle.codec.wire_id)
            assert bundle.latent_shape(dataclasses.replace(packet, **fields)) == shape  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bundle": 1}, "bundle"),
        ({"level": 4, "layers": 1}, "level"),
        ({"geometry": 2}, "geometry"),
        ({"layers": 1}, "layers"),
        ({"layers": 3}, "layers"),
        ({"level": 2}, "layers"),
    ],
)
def test_a_packet_that_asks_for_more_is_refused(
    root: Path, change: dict[str, int], reason: str
) -> None:
    bundle = Bundle.open(root)
    fields = {"bundle": bundle.codec.wire_id, "layers": 2} | change
    with pytest.raises(PacketError) as caught:
        bundle.latent_shape(Packet(Kind.FRAME, 1, 1, **fields))  # type: ignore[arg-type]
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)
