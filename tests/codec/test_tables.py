"""Tables: invariants, fitting, canonical form."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec.errors import TableError
from tactic_codec.tables import SCALE, Table, TableSet

COUNTS = st.lists(st.floats(0, 1e12), min_size=1, max_size=256)


@given(COUNTS, st.data())
def test_fitted_table_codes_every_symbol(counts: list[float], data: st.DataObject) -> None:
    lo = data.draw(st.integers(-128, 128 - len(counts)))
    table = Table.from_counts(np.array(counts), lo)
    assert sum(table.freqs) + table.escape == SCALE
    assert -128 <= table.lo <= table.hi <= 127
    if not table.is_constant:
        assert np.isfinite(table.bits()).all()
        assert (2.0 ** -table.bits()[table.lo + 128 : table.hi + 129]).sum() <= 1 + 1e-9


@given(COUNTS)
def test_fit_depends_on_proportions_only(counts: list[float]) -> None:
    assert Table.from_counts(np.array(counts), -128) == Table.from_counts(
        np.array(counts) * 4, -128
    )


def test_fit_is_close_to_the_entropy() -> None:
    value = np.arange(-128, 128)
    for scale in (0.2, 1.0, 5.0, 30.0):
        p = np.exp(-np.abs(value) / scale)
        p /= p.sum()
        entropy = -(p * np.log2(np.maximum(p, 1e-300))).sum()
        cost = (p * Table.from_counts(p, -128).bits()).sum()
        assert entropy <= cost < entropy * 1.002 + 2e-4


def test_rare_symbols_are_escaped_and_not_given_a_slot() -> None:
    counts = np.zeros(256)
    counts[128], counts[129], counts[255] = 1e9, 1e8, 1.0
    table = Table.from_counts(counts, -128)
    assert (table.lo, table.hi, table.escape) == (0, 1, 1)
    assert table.bits()[255] == 22.0


def test_channel_with_one_symbol_is_constant_and_free() -> None:
    table = Table.from_counts(np.array([0.0, 7.0, 0.0]), -4)
    assert table == Table(-3, (SCALE,), 0)
    assert table.is_constant
    assert not table.bits().any()


def test_empty_counts_give_constant_zero() -> None:
    assert Table.from_counts(np.zeros(9), 5) == Table(0, (SCALE,), 0)


@pytest.mark.parametrize("counts", [[-1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0], [[1.0, 2.0]]])
def test_counts_that_are_no_counts(counts: list[float]) -> None:
    with pytest.raises(TableError):
        Table.from_counts(np.array(counts), 0)


@pytest.mark.parametrize(
    ("lo", "freqs", "escape"),
    [
        (0, (), SCALE),
        (-129, (SCALE - 1,), 1),
        (127, (1, SCALE - 2), 1),
        (0, (0, SCALE - 1), 1),
        (0, (SCALE - 1, 0), 1),
        (0, (SCALE, -1, 1), 0),
        (0, (1, SCALE), -1),
        (0, (1, 1), 1),
        (0, (1, SCALE - 1), 0),
        (0, (SCALE - 1,), 0),
        (-128, (*[64] * 255, 63), 1),
        (-128, (SCALE - 255, *[1] * 254, 0), 1),
        (-128, (65, 0, *[64] * 253, 63), 0),
    ],
)
def test_broken_tables_are_refused(lo: int, freqs: tuple[int, ...], escape: int) -> None:
    with pytest.raises(TableError) as caught:
        Table(lo, freqs, escape)
    assert "\n" not in str(caught.value)


def table_set() -> TableSet:
    return TableSet(
        (
            Table(0, (SCALE,), 0),
            Table(-1, (100, SCALE - 301, 200), 1),
            Table(-128, (64,) * 256, 0),
            Table(5, (1, 0, 0, 2), SCALE - 3),
        )
    )


def test_canonical_form() -> None:
    data = table_set().to_bytes()
    assert data[:8] == b"TTAB\x01\x0e\x04\x00"
    assert data[8:14] == b"\x00\x00\x00\x00\x00\x40"
    assert TableSet.from_bytes(data) == table_set()
    assert TableSet.from_bytes(data).to_bytes() == data
    assert table_set().sha256 == hashlib.sha256(data).hexdigest()
    assert hash(table_set()) == hash(TableSet.from_bytes(data))


def test_every_cut_and_trailing_byte_is_refused() -> None:
    data = table_set().to_bytes()
    for size in range(len(data)):
        with pytest.raises(TableError):
            TableSet.from_bytes(data[:size])
    with pytest.raises(TableError, match="1 bytes left over"):
        TableSet.from_bytes(data + b"\0")


@given(st.randoms(use_true_random=False))
def test_damaged_bytes_are_refused_or_valid(source: random.Random) -> None:
    data = bytearray(table_set().to_bytes())
    for _ in range(source.randint(1, 4)):
        data[source.randrange(len(data))] = source.randrange(256)
    try:
        assert TableSet.from_bytes(bytes(data)).to_bytes() == data
    except TableError as fault:
        assert "\n" not in str(fault)


def test_number_of_tables_is_limited() -> None:
    constant = Table(0, (SCALE,), 0)
    with pytest.raises(TableError):
        TableSet(())
    with pytest.raises(TableError):
        TableSet((constant,) * 1025)
    assert len(TableSet((constant,) * 1024)) == 1024
