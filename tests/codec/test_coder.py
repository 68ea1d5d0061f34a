"""The entropy coder: library and twin agree, every prefix decodes, nothing crashes it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tactic_codec import rans
from tactic_codec.prepared import LIMIT_SHIFT, RECIPROCAL_BITS, prepare
from tactic_codec.rans import LIBRARY, Coder, Library
from tactic_codec.rans_twin import COMPLETE, CUT, LOWER, Twin
from tactic_codec.tables import SCALE, Table, TableSet

needs_library = pytest.mark.skipif(
    not LIBRARY.exists(), reason="librans.so is not built: install with a C compiler"
)
CODERS = [pytest.param(Twin, id="twin"), pytest.param(Library, id="c", marks=needs_library)]
SEEDS = st.integers(0, 2**32 - 1)


def random_table(rng: np.random.Generator) -> Table:
    """Any shape of table: constant, flat, steep, with holes, with a large or small escape."""
    size = int(rng.choice(np.array([1, 2, 3, 17, 255, 256, rng.integers(1, 257)])))
    lo = int(rng.integers(-128, 129 - size))
    if size == 1 and rng.random() < 0.5:
        return Table(lo, (SCALE,), 0)
    weights = rng.random(size) ** rng.choice([1, 4, 30]) + 1e-9
    weights[1:-1] *= rng.random(max(size - 2, 0)) > rng.choice([0, 0.5])
    complete = size == 256 and bool(weights.all())
    escape = 0 if complete else int(rng.choice([1, 50, SCALE // 2]))
    spread = (weights / weights.sum() * (SCALE - escape - size)).astype(np.int64)
    freqs = spread + (weights > 0)
    freqs[np.argmax(freqs)] += SCALE - escape - freqs.sum()
    return Table(lo, tuple(freqs.tolist()), escape)


def random_symbols(
    rng: np.random.Generator, tables: TableSet, plane: int, stray: float = 0.02
) -> NDArray[np.int8]:
    """Symbols as the tables expect them, and some that they do not."""
    rows = np.zeros((len(tables), plane), np.int8)
    for row, table in zip(rows, tables.tables, strict=True):
        weights = np.array(table.freqs) / sum(table.freqs)
        row[:] = rng.choice(np.arange(table.lo, table.hi + 1), plane, p=weights)
        if not table.is_constant:
            row[rng.random(plane) < stray] = rng.integers(-128, 128)
    return rows


def blank(tables: TableSet, plane: int) -> NDArray[np.int8]:
    return np.repeat(prepare(tables).values[:, None], plane, axis=1)


@pytest.mark.parametrize("coder", CODERS)
@given(seed=SEEDS, channels=st.integers(1, 4), plane=st.integers(0, 60))
@settings(deadline=None)
def test_round_trip(coder: type[Coder], seed: int, channels: int, plane: int) -> None:
    rng = np.random.default_rng(seed)
    tables = TableSet(tuple(random_table(rng) for _ in range(channels)))
    symbols = random_symbols(rng, tables, plane)
    data = coder().encode(symbols, prepare(tables))
    out = blank(tables, plane)
    outcome = coder().decode(data, prepare(tables), out)
    assert (outcome.fault, outcome.state) == (COMPLETE, LOWER)
    assert (outcome.symbols, outcome.consumed) == (symbols.size, (len(data) - 4) // 2)
    np.testing.assert_array_equal(out, symbols)


@needs_library
@given(seed=SEEDS, channels=st.integers(1, 4), plane=st.integers(0, 60))
@settings(deadline=None)
def test_library_and_twin_give_the_same_bytes(seed: int, channels: int, plane: int) -> None:
    rng = np.random.default_rng(seed)
    tables = TableSet(tuple(random_table(rng) for _ in range(channels)))
    symbols = random_symbols(rng, tables, plane, stray=0.2)
    assert Library().encode(symbols, prepare(tables)) == Twin().encode(symbols, prepare(tables))


@needs_library
def test_library_and_twin_on_a_million_symbols() -> None:
    rng = np.random.default_rng(5)
    tables = TableSet(tuple(random_table(rng) for _ in range(50)))
    symbols = random_symbols(rng, tables, 20_000)
    data = Library().encode(symbols, prepare(tables))
    assert data == Twin().encode(symbols, prepare(tables))
    by_library, by_twin = blank(tables, 20_000), blank(tables, 20_000)
    first = Library().decode(data, prepare(tables), by_library)
    assert first == Twin().decode(data, prepare(tables), by_twin)
    np.testing.assert_array_equal(by_library, symbols)
    np.testing.assert_array_equal(by_twin, symbols)


@pytest.mark.parametrize("coder", CODERS)
@given(seed=SEEDS)
@settings(deadline=None, max_examples=30)
def test_prefix_cut_at_every_word_decodes_exactly(coder: type[Coder], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = TableSet(tuple(random_table(rng) for _ in range(3)))
    symbols = random_symbols(rng, tables, 30)
    data = coder().encode(symbols, prepare(tables))
    before = 0
    for size in range(4, len(data) + 1, 2):
        out = blank(tables, 30)
        outcome = coder().decode(data[:size], prepare(tables), out)
        assert outcome.symbols >= before
        assert outcome.fault == (COMPLETE if outcome.symbols == symbols.size else CUT)
        np.testing.assert_array_equal(
            out.ravel()[: outcome.symbols], symbols.ravel()[: outcome.symbols]
        )
        np.testing.assert_array_equal(
            out.ravel()[outcome.symbols :], blank(tables, 30).ravel()[outcome.symbols :]
        )
        before = outcome.symbols
    assert before == symbols.size


@given(seed=SEEDS)
@settings(deadline=None, max_examples=15)
def test_overhead_is_within_a_thousandth_and_four_bytes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = TableSet((random_table(rng), random_table(rng)))
    symbols = random_symbols(rng, tables, 20_000, stray=0)
    ideal_bytes = tables.ideal_bits(symbols) / 8
    data = rans.CODER.encode(symbols, prepare(tables))
    assert len(data) <= ideal_bytes * 1.001 + 4


@pytest.mark.parametrize("coder", CODERS)
@given(seed=SEEDS, data=st.binary(max_size=200))
@settings(deadline=None)
def test_garbage_stays_within_bounds(coder: type[Coder], seed: int, data: bytes) -> None:
    rng = np.random.default_rng(seed)
    tables = TableSet(tuple(random_table(rng) for _ in range(2)))
    data = int(rng.integers(LOWER, 2**32)).to_bytes(4, "little") + data[: len(data) // 2 * 2]
    around = np.full((4, 50), 99, np.int8)
    outcome = coder().decode(data, prepare(tables), around[1:3])
    assert 0 <= outcome.symbols <= 100
    assert 0 <= outcome.consumed <= (len(data) - 4) // 2
    assert (around[[0, 3]] == 99).all()


@needs_library
@given(seed=SEEDS, data=st.binary(max_size=200))
@settings(deadline=None)
def test_library_and_twin_agree_on_garbage(seed: int, data: bytes) -> None:
    rng = np.random.default_rng(seed)
    tables = TableSet(tuple(random_table(rng) for _ in range(2)))
    data = int(rng.integers(LOWER, 2**32)).to_bytes(4, "little") + data[: len(data) // 2 * 2]
    by_library, by_twin = blank(tables, 50), blank(tables, 50)
    first = Library().decode(data, prepare(tables), by_library)
    assert first == Twin().decode(data, prepare(tables), by_twin)
    np.testing.assert_array_equal(by_library, by_twin)


def test_reciprocal_divides_exactly_for_every_frequency() -> None:
    rng = np.random.default_rng(0)
    freqs = np.arange(1, SCALE + 1, dtype=np.uint64)
    reciprocal = ((np.uint64(1) << np.uint64(RECIPROCAL_BITS)) + freqs - 1) // freqs
    limit = freqs << np.uint64(LIMIT_SHIFT)
    quotients = [rng.integers(1, 1 << LIMIT_SHIFT, len(freqs), dtype=np.uint64) for _ in range(50)]
    states = [limit - 1, freqs, freqs - 1, *(q * freqs for q in quotients)]
    states += [q * freqs - 1 for q in quotients]
    for x in states:
        assert all(int(a) * int(b) < 2**64 for a, b in zip(x[-9:], reciprocal[-9:], strict=True))
        np.testing.assert_array_equal((x * reciprocal) >> np.uint64(RECIPROCAL_BITS), x // freqs)


def test_twin_can_be_forced() -> None:
    code = "from tactic_codec import rans; print(rans.backend(), '|', rans.why())"
    environment = {**os.environ, "TACTIC_RANS": "python", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "python | TACTIC_RANS=python is set\n"


def test_backend_says_why() -> None:
    assert rans.backend() in {"c", "python"}
    assert rans.why()
    assert "\n" not in rans.why()
