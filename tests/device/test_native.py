"""Our own encoder against the integer reference of the export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tactic_device.encoders import native, selection
from tactic_device.encoders.base import PREFERENCE
from tactic_device.encoders.flat import read_convolution

pytest.importorskip("ai_edge_litert", reason="the export writes the model with it")

from tactic_export.integer import IntegerConv, IntegerEncoder
from tactic_export.tflite_encoder import write_encoder

STRIDE = 16


def layer(seed: int, channels: int, side: int, relu: bool = False) -> IntegerConv:
    rng, pad = np.random.default_rng(seed), (side - STRIDE) // 2
    return IntegerConv(
        weight=rng.integers(-127, 128, (channels, 3, side, side), np.int8),
        bias=rng.integers(-(1 << 20), 1 << 20, channels, np.int32),
        weight_scale=rng.uniform(0.0005, 0.01, channels).astype(np.float32),
        in_scale=1 / 255,
        in_zero=0,
        out_scale=1.0,
        out_zero=0,
        stride=STRIDE,
        pads=(pad,) * 4,
        relu=relu,
    )


def model_of(conv: IntegerConv, folder: Path) -> bytes:
    path = folder / "encoder.tflite"
    write_encoder(IntegerEncoder((conv,)), path, 64, 64)
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.mark.parametrize("side", [16, 32])
def test_what_is_read_from_the_file_is_what_was_written(folder: Path, side: int) -> None:
    conv = layer(1, 32, side)
    found = read_convolution(model_of(conv, folder))
    expected = conv.weight.transpose(0, 2, 3, 1).reshape(32, side, 3 * side)
    np.testing.assert_array_equal(found.weight, expected)
    np.testing.assert_array_equal(found.bias, conv.bias)
    np.testing.assert_array_equal(found.multiplier, conv.multiplier)
    assert found.stride == STRIDE


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    side=st.sampled_from([16, 32]),
    rows=st.integers(1, 5),
    columns=st.integers(1, 6),
    threads=st.sampled_from([1, 3]),
)
def test_every_symbol_is_that_of_the_integer_reference(
    folder: Path, seed: int, side: int, rows: int, columns: int, threads: int
) -> None:
    conv = layer(seed, 32, side)
    model = model_of(conv, folder)
    if not native.suits(model):
        pytest.skip("no code for this processor")
    # Extremes of pixels make the largest sums.
    pixels = np.random.default_rng(seed).choice(
        np.array([0, 1, 127, 128, 254, 255], np.uint8), (STRIDE * rows, STRIDE * columns, 3)
    )
    found = native.load("native", model, threads).encode(pixels)
    np.testing.assert_array_equal(found, IntegerEncoder((conv,))(pixels[None])[0])


def test_where_litert_has_vnni_it_comes_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("flags : avx2 avx512f avx512_vnni\n")
    assert not native.pays(tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("flags : avx2\n")
    assert native.pays(tmp_path / "cpuinfo") and native.pays(tmp_path / "none")
    for pays, first in ((True, "native"), (False, "litert")):
        monkeypatch.setattr(native, "pays", lambda pays=pays: pays)
        assert selection._order()[0] == first
        assert set(selection._order()) == set(PREFERENCE)


def test_other_encoders_are_left_to_other_runtimes(folder: Path) -> None:
    assert not native.suits(model_of(layer(1, 32, 16, relu=True), folder))
    assert not native.suits(model_of(layer(1, 24, 16), folder))
    assert not native.suits(b"")
    assert not native.suits(b"no model at all, but some bytes of text")
