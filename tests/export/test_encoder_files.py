"""The two encoder files against the integers they were written from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tactic_export import onnx_encoder, tflite_encoder
from tactic_export.errors import ExportError
from tactic_export.integer import IntegerConv, IntegerEncoder
from tactic_export.probe import probe_frames
from tactic_export.quantise import quantise
from tactic_export.runtimes import as_int8, run_onnx, run_tflite
from tactic_train.step import System

MOST_SHARE, MOST_LSB = 1e-4, 1


def assert_near(found: NDArray[np.generic], reference: NDArray[np.int8]) -> None:
    assert found.dtype == np.int8
    gap = np.abs(found.astype(int) - reference)
    # One symbol may always differ: these pictures have few.
    assert np.count_nonzero(gap) <= max(1, MOST_SHARE * gap.size)
    assert gap.max() <= MOST_LSB


@pytest.mark.parametrize("size", [(96, 128), (64, 48), (16, 112)])
def test_both_files_give_the_integers(
    system: System, pictures: NDArray[np.uint8], tmp_path: Path, size: tuple[int, int]
) -> None:
    encoder = quantise(system.codec, pictures)
    frames = np.ascontiguousarray(pictures[:, : size[0], : size[1]])
    reference = encoder(frames)
    assert np.unique(reference).size > 8
    onnx_encoder.write_encoder(encoder, tmp_path / "encoder.onnx")
    tflite_encoder.write_encoder(encoder, tmp_path / "encoder.tflite", 32, 32)
    assert_near(run_onnx(tmp_path / "encoder.onnx", as_int8(frames)), reference)
    assert_near(run_tflite(tmp_path / "encoder.tflite", as_int8(frames)), reference)


def test_the_onnx_file_is_signed_throughout(
    system: System, pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Unsigned activations saturate on processors without VNNI."""
    encoder = quantise(system.codec, pictures)
    onnx_encoder.write_encoder(encoder, tmp_path / "encoder.onnx")
    model = onnx.load(tmp_path / "encoder.onnx")
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.UINT8 not in kinds
    (frame,), (latent,) = model.graph.input, model.graph.output
    assert (frame.name, latent.name) == ("frame", "latent")
    for value in (frame, latent):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.INT8


def test_strong_weights_do_not_saturate(tmp_path: Path) -> None:
    """Where pairs of products are added in 16 bits, white pixels and weights of 127 overflow."""
    conv = IntegerConv(
        weight=np.full((8, 3, 4, 4), 127, np.int8),
        bias=np.zeros(8, np.int32),
        weight_scale=np.full(8, 1 / 127 / 12, np.float32),
        in_scale=1 / 255,
        in_zero=-128,
        out_scale=4 / 255,
        out_zero=-128,
        stride=4,
        pads=(0, 0, 0, 0),
        relu=True,
    )
    flat = dataclasses.replace(
        conv,
        weight=np.full((8, 8, 3, 3), 127, np.int8),
        in_scale=4 / 255,
        out_scale=1.0,
        out_zero=0,
        stride=1,
        pads=(1, 1, 1, 1),
        weight_scale=np.full(8, 1 / 127 / 3, np.float32),
        relu=False,
    )
    # Twice: ONNX Runtime runs the first and the last convolution otherwise than those between.
    same = dataclasses.replace(
        flat,
        out_scale=flat.in_scale,
        out_zero=-128,
        weight_scale=np.full(8, 1 / 127 / 72, np.float32),
        relu=True,
    )
    encoder = IntegerEncoder((conv, same, flat))
    frames = np.random.default_rng(1).integers(200, 256, (2, 32, 32, 3), np.uint8)
    onnx_encoder.write_encoder(encoder, tmp_path / "encoder.onnx")
    found = run_onnx(tmp_path / "encoder.onnx", as_int8(frames))
    assert np.abs(found.astype(int) - encoder(frames)).max() <= MOST_LSB
    assert found.min() > 20


def test_the_same_integers_make_the_same_files(
    system: System, pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    files = []
    for name in ("first", "second"):
        encoder = quantise(system.codec, pictures)
        onnx_encoder.write_encoder(encoder, tmp_path / name)
        tflite_encoder.write_encoder(encoder, tmp_path / f"{name}.tflite", 96, 128)
        files.append(((tmp_path / name).read_bytes(), (tmp_path / f"{name}.tflite").read_bytes()))
    assert files[0] == files[1]


def test_a_padding_without_a_name_in_tflite(tmp_path: Path) -> None:
    conv = IntegerConv(
        weight=np.zeros((1, 3, 3, 3), np.int8),
        bias=np.zeros(1, np.int32),
        weight_scale=np.ones(1, np.float32),
        in_scale=1 / 255,
        in_zero=-128,
        out_scale=1.0,
        out_zero=0,
        stride=2,
        pads=(1, 1, 0, 0),
        relu=False,
    )
    with pytest.raises(ExportError, match="TFLite has no padding"):
        tflite_encoder.write_encoder(IntegerEncoder((conv,)), tmp_path / "x.tflite", 16, 16)


def test_probe_frames_are_always_the_same() -> None:
    first, second = probe_frames(), probe_frames()
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.uint8
    assert first.shape[1:] == (128, 128, 3)
    assert first.std(axis=(1, 2)).min() > 20, "a flat probe would not find a wrong runtime"
