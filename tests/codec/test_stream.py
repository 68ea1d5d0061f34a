"""Streams: planes, prefixes, and what is no stream."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tactic_codec.contexts import Context, Tap
from tactic_codec.entropy import EntropyModel
from tactic_codec.errors import StreamError
from tactic_codec.rans_twin import STATE_BYTES
from tactic_codec.stream import cut, decode, encode, length
from tactic_codec.tables import SCALE, Table, TableSet

STEEP = Table(-1, (200, SCALE - 401, 200), 1)
FLAT = Table(-4, (SCALE // 16,) * 8, SCALE // 2)
CONSTANT = Table(3, (SCALE,), 0)
MODEL = EntropyModel.static(TableSet((STEEP, FLAT, CONSTANT, STEEP)))
SHAPE = (4, 6, 7)


def planes(seed: int = 1) -> NDArray[np.int8]:
    symbols = np.random.default_rng(seed).integers(-4, 4, SHAPE).astype(np.int8)
    symbols[2] = 3
    return symbols


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_first_planes_are_a_stream_of_their_own(count: int) -> None:
    first = planes()[:count]
    found = decode(encode(first, MODEL), MODEL, first.shape)
    assert (found.whole, found.symbols) == (count, count * 42)
    np.testing.assert_array_equal(found.planes, first)


def test_prefix_says_which_planes_are_whole() -> None:
    symbols = planes()
    data = encode(symbols, MODEL)
    seen = set()
    for size in range(4, len(data) + 1, 2):
        found = decode(data[:size], MODEL, SHAPE)
        n = found.symbols
        np.testing.assert_array_equal(found.planes.ravel()[:n], symbols.ravel()[:n])
        assert found.whole == sum(n >= end for end in (42, 84, 126, 168))
        lost = np.delete(found.planes.ravel()[n:], np.s_[max(84 - n, 0) : max(126 - n, 0)])
        assert not lost.any()
        seen.add(found.whole)
    # The constant plane has no words of its own: it is there with the first word of the next.
    assert seen == {0, 1, 3, 4}


@pytest.mark.parametrize("seed", range(5))
def test_the_length_of_the_first_planes_is_the_shortest_that_holds_them(seed: int) -> None:
    data = encode(planes(seed), MODEL)
    for count in (1, 2, 3, 4):
        holds = [
            size
            for size in range(STATE_BYTES, len(data) + 1, 2)
            if decode(data[:size], MODEL, SHAPE).whole >= count
        ]
        assert length(data, MODEL, (count, *SHAPE[1:])) == holds[0]


def test_a_cut_stream_is_as_long_as_it_may_be() -> None:
    data = encode(planes(), MODEL)
    for most_bytes in range(STATE_BYTES, len(data) + 3):
        part = cut(data, most_bytes)
        assert data.startswith(part)
        assert len(part) == min(most_bytes - most_bytes % 2, len(data))
        decode(part, MODEL, SHAPE)
    with pytest.raises(ValueError, match="4 bytes at least"):
        cut(data, STATE_BYTES - 1)


def test_constant_planes_cost_nothing_and_are_not_read() -> None:
    model = EntropyModel.static(TableSet((CONSTANT,) * 4))
    data = encode(planes(), model)
    assert data == b"\x00\x00\x01\x00"
    found = decode(data, model, SHAPE)
    assert (found.planes == 3).all()
    assert found.whole == 4


def test_a_constant_plane_is_seen_by_others_as_it_is_decoded() -> None:
    beside = Context(1, mean=(Tap(0, 0, 0, 256),))
    model = EntropyModel(TableSet((CONSTANT, STEEP)), (Context(0), beside))
    symbols = np.zeros((2, 6, 7), np.int8)
    symbols[1] = 3
    data = encode(symbols, model)
    assert len(data) < 10
    assert (decode(data, model, (2, 6, 7)).planes == 3).all()


def test_residuals_are_taken_modulo_256() -> None:
    model = EntropyModel(TableSet((FLAT,)), (Context(0, mean=(Tap(0, 0, -1, 32767),)),))
    symbols = np.array([[[-128, 127, 127, -128, -1, 1, 127, -127]]], np.int8)
    data = encode(symbols, model)
    np.testing.assert_array_equal(decode(data, model, (1, 1, 8)).planes, symbols)


def test_symbols_outside_every_range_survive() -> None:
    symbols = np.full(SHAPE, -128, np.int8)
    symbols[:, ::2] = 127
    symbols[2] = 3
    np.testing.assert_array_equal(decode(encode(symbols, MODEL), MODEL, SHAPE).planes, symbols)


@given(st.binary(max_size=120), st.integers(1, 4))
@settings(deadline=None)
def test_garbage_is_refused_or_decoded_within_bounds(data: bytes, count: int) -> None:
    try:
        found = decode(data, MODEL, (count, 6, 7))
    except StreamError as fault:
        assert "\n" not in str(fault)
    else:
        assert found.planes.shape == (count, 6, 7)
        assert 0 <= found.whole <= count


def test_no_changed_word_goes_by_unnoticed_or_crashes() -> None:
    data = encode(planes(), MODEL)
    refused = 0
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decode(bytes(damaged), MODEL, SHAPE)
        except StreamError:
            refused += 1
    # The stream's own check is weak (the packet's CRC is the real one): most, not all.
    assert refused > len(data) * 8 // 3


def test_largest_frame_of_garbage_is_refused_quickly() -> None:
    model, start = EntropyModel.static(TableSet((FLAT,) * 64)), time.process_time()
    data = np.random.default_rng(0).bytes(1 << 16)
    with pytest.raises(StreamError):
        decode(data, model, (64, 10, 10))
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "0 bytes"),
        (b"\0\0\1", "3 bytes"),
        (b"\0\0\1\0\0", "5 bytes"),
        (b"\xff\xff\0\0", "below 2\\^16"),
        (encode(planes(), MODEL) + b"\0\0", "1 words left over"),
        (b"\0\0\1\0", None),
    ],
)
def test_what_is_no_stream(data: bytes, problem: str | None) -> None:
    if problem is None:
        assert decode(data, MODEL, SHAPE).whole == 0
        return
    with pytest.raises(StreamError, match=problem):
        decode(data, MODEL, SHAPE)


def test_wrong_final_state() -> None:
    with pytest.raises(StreamError, match="wrong state"):
        decode(b"\1\0\1\0", EntropyModel.static(TableSet((CONSTANT,))), (1, 6, 7))


def test_needless_escape() -> None:
    half = SCALE // 2
    model = EntropyModel.static(TableSet((Table(0, (half,), half),)))
    state = 1 << 16
    for freq, start in ((64, 128 * 64), (half, half)):  # raw 0, then the escape that leads to it
        state = (state // freq << 14) + state % freq + start
    with pytest.raises(StreamError, match="escapes a symbol"):
        decode(state.to_bytes(4, "little"), model, (1, 1, 1))


@pytest.mark.parametrize("count", [0, 5])
def test_planes_that_the_model_does_not_have(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} planes for a model of 4"):
        encode(np.zeros((count, 6, 7), np.int8), MODEL)
    with pytest.raises(ValueError, match=f"{count} planes for a model of 4"):
        decode(b"\0\0\1\0", MODEL, (count, 6, 7))


def test_planes_of_another_shape_or_type() -> None:
    with pytest.raises(ValueError, match="not int8"):
        encode(planes()[0], MODEL)
    with pytest.raises(ValueError, match="not int8"):
        encode(planes().astype(np.int16), MODEL)
