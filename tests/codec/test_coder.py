"""The entropy coder: library and twin agree, every prefix decodes, nothing crashes it."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tactic_codec import rans
from tactic_codec.contexts import MAX_WEIGHT, Context, Tap
from tactic_codec.entropy import EntropyModel
from tactic_codec.prepared import LIMIT_SHIFT, RECIPROCAL_BITS, prepare
from tactic_codec.rans import LIBRARY, Coder, Library
from tactic_codec.rans_twin import COMPLETE, CUT, LOWER, Twin
from tactic_codec.tables import SCALE, Table, TableSet

needs_library = pytest.mark.skipif(
    not LIBRARY.exists(), reason="librans.so is not built: install with a C compiler"
)
CODERS = [pytest.param(Twin, id="twin"), pytest.param(Library, id="c", marks=needs_library)]
SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(0, 9)


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


def random_context(rng: np.random.Generator, channel: int, tables: TableSet) -> Context:
    """Any form of context, mostly one that fits its symbols."""
    first = int(rng.integers(len(tables)))
    varying = [number for number, table in enumerate(tables.tables) if not table.is_constant]
    if not varying or rng.random() < 0.3:
        return Context(first)
    run = [n for n in range(len(varying)) if varying[n] == varying[0] + n]
    fractions = 4 if len(run) >= 4 and rng.random() < 0.7 else 1
    places = [*product(range(channel), (-1, 0, 1), (-1, 0, 1))]
    places += [(channel, -1, -1), (channel, -1, 0), (channel, -1, 1), (channel, 0, -1)]

    def taps() -> tuple[Tap, ...]:
        largest = rng.choice([50, 300, MAX_WEIGHT], p=[0.5, 0.4, 0.1])
        chosen = sorted(rng.permutation(len(places))[: rng.integers(9)])
        weights = rng.integers(-largest, largest + 1, len(chosen)).tolist()
        return tuple(Tap(*places[n], w) for n, w in zip(map(int, chosen), weights, strict=True))

    return Context(
        varying[0],
        mean=taps(),
        scale=taps(),
        bias=int(rng.integers(-500, 3000)),
        bins=int(rng.integers(1, min(len(run) // fractions, 64) + 1)),
        lowest=int(rng.integers(20, 50)),
        fractions=fractions,
    )


def random_model(rng: np.random.Generator, channels: int, count: int = 12) -> EntropyModel:
    """Static channels, constant ones, and channels with contexts."""
    tables = TableSet(tuple(random_table(rng) for _ in range(count)))
    return EntropyModel(tables, tuple(random_context(rng, c, tables) for c in range(channels)))


def random_symbols(
    rng: np.random.Generator, model: EntropyModel, shape: tuple[int, int], stray: float = 0.02
) -> NDArray[np.int8]:
    """Symbols from the channel's first table, and some that no table expects."""
    planes = np.zeros((len(model.contexts), *shape), np.int8)
    for channel, context in enumerate(model.contexts):
        table = model.tables.tables[context.first]
        weights = np.array(table.freqs) / sum(table.freqs)
        planes[channel] = rng.choice(np.arange(table.lo, table.hi + 1), shape, p=weights)
        if model.constant(channel) is None:
            planes[channel][rng.random(shape) < stray] = rng.integers(-128, 128)
    return planes


def blank(model: EntropyModel, shape: tuple[int, int]) -> NDArray[np.int8]:
    return model.settled(np.zeros((len(model.contexts), *shape), np.int8))


@pytest.mark.parametrize("coder", CODERS)
@given(seed=SEEDS, channels=st.integers(1, 4), height=SIDES, width=SIDES)
@settings(deadline=None)
def test_round_trip(coder: type[Coder], seed: int, channels: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, channels)
    symbols = random_symbols(rng, model, (height, width))
    data = coder().encode(symbols, prepare(model))
    out = blank(model, (height, width))
    outcome = coder().decode(data, prepare(model), out)
    assert (outcome.fault, outcome.state) == (COMPLETE, LOWER)
    assert (outcome.symbols, outcome.consumed) == (symbols.size, (len(data) - 4) // 2)
    np.testing.assert_array_equal(out, symbols)


@needs_library
@given(seed=SEEDS, channels=st.integers(1, 4), height=SIDES, width=SIDES)
@settings(deadline=None, max_examples=200)
def test_library_and_twin_give_the_same_bytes(
    seed: int, channels: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, channels)
    symbols = random_symbols(rng, model, (height, width), stray=0.2)
    assert Library().encode(symbols, prepare(model)) == Twin().encode(symbols, prepare(model))


@needs_library
@pytest.mark.parametrize("count", [50, 12])
def test_library_and_twin_on_half_a_million_symbols(count: int) -> None:
    rng, shape = np.random.default_rng(5), (100, 100)
    tables = TableSet(tuple(random_table(rng) for _ in range(count)))
    model = EntropyModel.static(tables) if count == 50 else random_model(rng, 50)
    symbols = random_symbols(rng, model, shape)
    data = Library().encode(symbols, prepare(model))
    assert data == Twin().encode(symbols, prepare(model))
    by_library, by_twin = blank(model, shape), blank(model, shape)
    first = Library().decode(data, prepare(model), by_library)
    assert first == Twin().decode(data, prepare(model), by_twin)
    np.testing.assert_array_equal(by_library, symbols)
    np.testing.assert_array_equal(by_twin, symbols)


@pytest.mark.parametrize("coder", CODERS)
@given(seed=SEEDS)
@settings(deadline=None, max_examples=30)
def test_prefix_cut_at_every_word_decodes_exactly(coder: type[Coder], seed: int) -> None:
    rng, shape = np.random.default_rng(seed), (5, 6)
    model = random_model(rng, 3)
    symbols = random_symbols(rng, model, shape)
    data = coder().encode(symbols, prepare(model))
    before = 0
    for size in range(4, len(data) + 1, 2):
        out = blank(model, shape)
        outcome = coder().decode(data[:size], prepare(model), out)
        n = outcome.symbols
        assert n >= before
        assert outcome.fault == (COMPLETE if n == symbols.size else CUT)
        np.testing.assert_array_equal(out.ravel()[:n], symbols.ravel()[:n])
        np.testing.assert_array_equal(out.ravel()[n:], blank(model, shape).ravel()[n:])
        before = n
    assert before == symbols.size


@given(seed=SEEDS)
@settings(deadline=None, max_examples=15)
def test_overhead_is_within_a_thousandth_and_four_bytes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = EntropyModel.static(TableSet((random_table(rng), random_table(rng))))
    symbols = random_symbols(rng, model, (100, 200), stray=0)
    data = rans.CODER.encode(symbols, prepare(model))
    assert len(data) <= model.ideal_bits(symbols) / 8 * 1.001 + 4


@given(seed=SEEDS)
@settings(deadline=None, max_examples=15)
def test_overhead_with_contexts(seed: int) -> None:
    rng, value = np.random.default_rng(seed), np.arange(-128, 128)
    widths = rng.choice([0.1, 1, 10, 40], 12)
    laplacians = (np.exp(-np.abs(value + rng.random()) / width) for width in widths)
    # Without escapes any words are a stream, of just the symbols that the model expects.
    tables = TableSet(tuple(Table.from_counts(p / p.sum() + 1e-4, -128) for p in laplacians))
    model = EntropyModel(tables, tuple(random_context(rng, c, tables) for c in range(3)))
    symbols = blank(model, (80, 80))
    rans.CODER.decode(b"\1\2\3\4" + rng.bytes(80_000), prepare(model), symbols)
    data = rans.CODER.encode(symbols, prepare(model))
    assert len(data) <= model.ideal_bits(symbols) / 8 * 1.001 + 4
    assert len(data) >= model.ideal_bits(symbols) / 8 - 4


def garbage(rng: np.random.Generator, data: bytes) -> bytes:
    """A valid state, then any words."""
    return int(rng.integers(LOWER, 2**32)).to_bytes(4, "little") + data[: len(data) // 2 * 2]


@pytest.mark.parametrize("coder", CODERS)
@given(seed=SEEDS, data=st.binary(max_size=200))
@settings(deadline=None)
def test_garbage_stays_within_bounds(coder: type[Coder], seed: int, data: bytes) -> None:
    rng = np.random.default_rng(seed)
    model, data = random_model(rng, 3), garbage(rng, data)
    around = np.full((5, 5, 10), 99, np.int8)
    around[1:4] = blank(model, (5, 10))
    outcome = coder().decode(data, prepare(model), around[1:4])
    assert 0 <= outcome.symbols <= 150
    assert 0 <= outcome.consumed <= (len(data) - 4) // 2
    assert (around[[0, 4]] == 99).all()


@needs_library
@given(seed=SEEDS, data=st.binary(max_size=200))
@settings(deadline=None, max_examples=200)
def test_library_and_twin_agree_on_garbage(seed: int, data: bytes) -> None:
    rng = np.random.default_rng(seed)
    model, data = random_model(rng, 3), garbage(rng, data)
    by_library, by_twin = blank(model, (5, 10)), blank(model, (5, 10))
    first = Library().decode(data, prepare(model), by_library)
    assert first == Twin().decode(data, prepare(model), by_twin)
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
