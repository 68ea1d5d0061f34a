"""Entropy models: what they may choose, their cost, and the file of a bundle."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec.contexts import Context, Tap
from tactic_codec.entropy import EntropyModel, read_models, write_models
from tactic_codec.errors import TableError
from tactic_codec.tables import SCALE, Table, TableSet

CONSTANT = Table(3, (SCALE,), 0)
STEEP = Table(-1, (200, SCALE - 401, 200), 1)
FLAT = Table(-128, (SCALE // 256,) * 256, 0)
TABLES = TableSet((CONSTANT, STEEP, FLAT, STEEP, FLAT))
LEFT, ABOVE, BEFORE = Tap(1, 0, -1, 128), Tap(1, -1, 0, -64), Tap(0, 1, 1, 32767)


def model() -> EntropyModel:
    choosing = Context(1, (BEFORE, ABOVE), (LEFT,), bias=-5, bins=4, lowest=30)
    return EntropyModel(TABLES, (Context(0), choosing, Context(2)))


def models() -> tuple[EntropyModel, ...]:
    return model(), EntropyModel(TABLES, (Context(1), Context(2, bins=2)))


def test_static_model_has_a_table_a_channel() -> None:
    static = EntropyModel.static(TABLES)
    assert [context.tables for context in static.contexts] == [range(i, i + 1) for i in range(5)]
    assert [static.constant(channel) for channel in range(5)] == [3, None, None, None, None]


@pytest.mark.parametrize(
    ("contexts", "problem"),
    [
        ((), "0 channels"),
        ((Context(5),), "missing"),
        ((Context(1, bins=3, fractions=4),), "missing"),
        ((Context(0, bins=2),), "constant"),
        ((Context(0, mean=(Tap(0, -1, 0, 1),)),), "constant"),
        ((Context(1, mean=(Tap(0, 0, 0, 1),)),), "too late"),
        ((Context(1), Context(1, scale=(Tap(1, 0, 1, 1),))), "too late"),
        ((Context(1), Context(1, scale=(Tap(2, 0, -1, 1),))), "too late"),
        ((Context(1),) * 1025, "1025 channels"),
    ],
)
def test_models_that_cannot_be_decoded(contexts: tuple[Context, ...], problem: str) -> None:
    with pytest.raises(TableError, match=problem) as caught:
        EntropyModel(TABLES, contexts)
    assert "\n" not in str(caught.value)


def test_equal_models_are_one_key() -> None:
    assert model() == model()
    assert hash(model()) == hash(model())
    assert len({*models(), *models()}) == 2


def test_cost_of_symbols() -> None:
    symbols = np.zeros((3, 2, 2), np.int8)
    symbols[0] = 77  # a constant channel costs nothing, and is seen as its constant
    steep = -np.log2((SCALE - 401) / SCALE)
    static = EntropyModel(TABLES, (Context(0), Context(1), Context(2)))
    assert static.ideal_bits(symbols) == pytest.approx(4 * steep + 4 * 8)
    assert static.ideal_bits(symbols[:1]) == 0
    # The symbol below and to the right is 3 inside the plane: a base of 384 is held to 127.
    far = EntropyModel(TABLES, (Context(0), Context(1, mean=(BEFORE,)), Context(2)))
    assert far.ideal_bits(symbols[:2]) == pytest.approx(3 * steep + 14 + 8)


def test_settled_symbols_are_those_a_decoder_shows() -> None:
    symbols = np.full((2, 3, 1, 1), 9, np.int8)
    assert model().settled(symbols).ravel().tolist() == [3, 9, 9] * 2
    assert (symbols == 9).all()


def test_file_form() -> None:
    data = write_models(models())
    assert data[:8] == b"TENT\x02\x02\x03\x00"
    assert data[8:19] == b"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"
    assert data[19:30] == b"\x01\x00\x04\x1e\x01\x02\x01\xfb\xff\xff\xff"
    assert data[30:36] == b"\x00\x00\x01\x01\xff\x7f"
    # 14 bytes of taps, the third context, then the number of planes of the second model.
    assert data[48:65] == b"\x02\x00\x01\x00\x01" + bytes(6) + b"\x02\x00\x01\x00\x01\x00"
    found = read_models(data)
    assert found == models()
    assert write_models(found) == data
    assert all(each.tables is found[0].tables for each in found)
    assert data.endswith(TABLES.to_bytes())


def test_every_cut_and_trailing_byte_is_refused() -> None:
    data = write_models(models())
    for size in range(len(data)):
        with pytest.raises(TableError):
            read_models(data[:size])
    with pytest.raises(TableError, match="1 bytes left over"):
        read_models(data + b"\0")


@given(st.randoms(use_true_random=False))
def test_damaged_bytes_are_refused_or_valid(source: random.Random) -> None:
    data = bytearray(write_models(models()))
    for _ in range(source.randint(1, 4)):
        data[source.randrange(min(len(data), 120))] = source.randrange(256)
    try:
        assert write_models(read_models(bytes(data))) == data
    except TableError as fault:
        assert "\n" not in str(fault)


@pytest.mark.parametrize("head", [b"TTAB\2\1\1\0", b"TENT\1\1\1\0", b"TENT\2\0\1\0",
                                  b"TENT\2\3\1\0", b"TENT\2\1\0\0", b"TENT\2\1\1\4"])  # fmt: skip
def test_headers_of_something_else_are_refused(head: bytes) -> None:
    with pytest.raises(TableError):
        read_models(head + write_models(models())[8:])


def test_models_of_a_file_share_their_tables() -> None:
    other = EntropyModel.static(TableSet((STEEP,) * 3))
    for wrong in ((), (model(),) * 3, (model(), other)):
        with pytest.raises(TableError):
            write_models(wrong)
