"""Streams: layers, prefixes, and what is no stream."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tactic_codec.contexts import Context, Tap
from tactic_codec.entropy import EntropyModel
from tactic_codec.errors import StreamError
from tactic_codec.stream import decode, encode
from tactic_codec.tables import SCALE, Table, TableSet

STEEP = Table(-1, (200, SCALE - 401, 200), 1)
FLAT = Table(-4, (SCALE // 16,) * 8, SCALE // 2)
CONSTANT = Table(3, (SCALE,), 0)
MODEL = EntropyModel.static(TableSet((STEEP, FLAT, CONSTANT, STEEP)))
LAYERS = (1, 2, 1)
SHAPE = (6, 7)


def latents(seed: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    symbols = np.random.default_rng(seed).integers(-4, 4, (4, *SHAPE)).astype(np.int8)
    symbols[2] = 3
    return symbols


@pytest.mark.parametrize("upto", [1, 2, 3])
def test_layers_are_coded_from_the_base_up(upto: int) -> None:
    symbols = latents()
    found = decode(encode(symbols, MODEL, LAYERS, upto), MODEL, LAYERS, upto, SHAPE)
    channels = sum(LAYERS[:upto])
    assert (found.complete_layers, found.symbols_decoded) == (upto, channels * 42)
    np.testing.assert_array_equal(found.symbols[:channels], symbols[:channels])
    np.testing.assert_array_equal(found.symbols[2], 3)
    assert not found.symbols[3].any() or upto == 3


def test_prefix_says_which_layers_are_complete() -> None:
    symbols = latents()
    data = encode(symbols, MODEL, LAYERS, 3)
    seen = set()
    for size in range(4, len(data) + 1, 2):
        found = decode(data[:size], MODEL, LAYERS, 3, SHAPE)
        n = found.symbols_decoded
        np.testing.assert_array_equal(found.symbols.ravel()[:n], symbols.ravel()[:n])
        assert found.complete_layers == sum(n >= end for end in (42, 126, 168))
        seen.add(found.complete_layers)
    assert seen == {0, 1, 2, 3}


def test_constant_channels_cost_nothing_and_are_not_read() -> None:
    model = EntropyModel.static(TableSet((CONSTANT,) * 4))
    data = encode(latents(), model, LAYERS, 3)
    assert data == b"\x00\x00\x01\x00"
    found = decode(data, model, LAYERS, 3, SHAPE)
    assert (found.symbols == 3).all()
    assert found.complete_layers == 3


def test_a_constant_channel_is_seen_by_others_as_it_is_decoded() -> None:
    beside = Context(1, mean=(Tap(0, 0, 0, 256),))
    model = EntropyModel(TableSet((CONSTANT, STEEP)), (Context(0), beside))
    symbols = np.zeros((2, *SHAPE), np.int8)
    symbols[1] = 3
    data = encode(symbols, model, (2,), 1)
    assert len(data) < 10
    assert (decode(data, model, (2,), 1, SHAPE).symbols == 3).all()


def test_residuals_are_taken_modulo_256() -> None:
    model = EntropyModel(TableSet((FLAT,)), (Context(0, mean=(Tap(0, 0, -1, 32767),)),))
    symbols = np.array([[[-128, 127, 127, -128, -1, 1, 127, -127]]], np.int8)
    data = encode(symbols, model, (1,), 1)
    np.testing.assert_array_equal(decode(data, model, (1,), 1, (1, 8)).symbols, symbols)


def test_symbols_outside_every_range_survive() -> None:
    symbols = np.full((4, *SHAPE), -128, np.int8)
    symbols[:, ::2] = 127
    symbols[2] = 3
    data = encode(symbols, MODEL, LAYERS, 3)
    np.testing.assert_array_equal(decode(data, MODEL, LAYERS, 3, SHAPE).symbols, symbols)


@given(st.binary(max_size=120), st.integers(1, 3))
@settings(deadline=None)
def test_garbage_is_refused_or_decoded_within_bounds(data: bytes, upto: int) -> None:
    try:
        found = decode(data, MODEL, LAYERS, upto, SHAPE)
    except StreamError as fault:
        assert "\n" not in str(fault)
    else:
        assert found.symbols.shape == (4, *SHAPE)
        assert 0 <= found.complete_layers <= upto


def test_no_changed_word_goes_by_unnoticed_or_crashes() -> None:
    data = encode(latents(), MODEL, LAYERS, 3)
    refused = 0
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decode(bytes(damaged), MODEL, LAYERS, 3, SHAPE)
        except StreamError:
            refused += 1
    # The stream's own check is weak (the packet's CRC is the real one): most, not all.
    assert refused > len(data) * 8 // 3


def test_largest_frame_of_garbage_is_refused_quickly() -> None:
    model, start = EntropyModel.static(TableSet((FLAT,) * 64)), time.process_time()
    data = np.random.default_rng(0).bytes(1 << 16)
    with pytest.raises(StreamError):
        decode(data, model, (64,), 1, (10, 10))
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "0 bytes"),
        (b"\0\0\1", "3 bytes"),
        (b"\0\0\1\0\0", "5 bytes"),
        (b"\xff\xff\0\0", "below 2\\^16"),
        (encode(latents(), MODEL, LAYERS, 3) + b"\0\0", "1 words left over"),
        (b"\0\0\1\0", None),
    ],
)
def test_what_is_no_stream(data: bytes, problem: str | None) -> None:
    if problem is None:
        assert decode(data, MODEL, LAYERS, 3, SHAPE).complete_layers == 0
        return
    with pytest.raises(StreamError, match=problem):
        decode(data, MODEL, LAYERS, 3, SHAPE)


def test_wrong_final_state() -> None:
    with pytest.raises(StreamError, match="wrong state"):
        decode(b"\1\0\1\0", EntropyModel.static(TableSet((CONSTANT,))), (1,), 1, SHAPE)


def test_needless_escape() -> None:
    half = SCALE // 2
    model = EntropyModel.static(TableSet((Table(0, (half,), half),)))
    state = 1 << 16
    for freq, start in ((64, 128 * 64), (half, half)):  # raw 0, then the escape that leads to it
        state = (state // freq << 14) + state % freq + start
    with pytest.raises(StreamError, match="escapes a symbol"):
        decode(state.to_bytes(4, "little"), model, (1,), 1, (1, 1))


@pytest.mark.parametrize(
    ("layers", "upto"), [((1, 2), 2), ((1, 2, 1), 0), ((1, 2, 1), 4), ((5, -1), 1), ((0, 4), 1)]
)
def test_faults_of_the_caller(layers: tuple[int, ...], upto: int) -> None:
    with pytest.raises(ValueError, match="of layers"):
        encode(latents(), MODEL, layers, upto)


def test_latents_of_another_shape_or_type() -> None:
    with pytest.raises(ValueError, match="latents"):
        encode(latents()[:3], MODEL, LAYERS, 3)
    with pytest.raises(ValueError, match="latents"):
        encode(latents().astype(np.int16), MODEL, LAYERS, 3)
