"""Nested levels: coarse and fine, planes and back, and every beginning of a frame's stream."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.contexts import Context, Tap
from tactic_codec.entropy import EntropyModel
from tactic_codec.rans_twin import STATE_BYTES
from tactic_codec.tables import Table, TableSet
from tactic_codec.types import Latent

CHANNELS = 3
EVERY = np.arange(-128, 128, dtype=np.int8)
SETTLED = np.maximum(EVERY, -127).astype(np.int8)
LATENTS = arrays(np.int8, (CHANNELS, 4, 5))
#: a number of levels, and one of them
LEVELS = st.integers(1, 8).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))
Symbols = NDArray[np.int8]


@pytest.mark.parametrize(
    ("levels", "layers"),
    [(1, [1]), (2, [1, 1]), (3, [2, 1, 1]), (5, [3, 2, 2, 1, 1]), (8, [4, 4, 3, 3, 2, 2, 1, 1])],
)
def test_layers_of_every_level(levels: int, layers: list[int]) -> None:
    assert [nest.layers(level, levels) for level in range(levels)] == layers
    assert nest.chains(levels) == len({nest.chain(level) for level in range(levels)})


def test_three_cells_become_one() -> None:
    coarse = nest.coarsen(SETTLED, 1)
    assert [np.count_nonzero(coarse == symbol) for symbol in range(-42, 43)][1:] == [3] * 84
    assert np.abs(SETTLED - 3 * coarse.astype(int)).max() == 1
    assert nest.coarsen(EVERY, 0).tolist() == SETTLED.tolist()
    assert nest.coarsen(EVERY, 0).flags.writeable, "PyTorch takes no other arrays"
    for times in range(4):
        np.testing.assert_array_equal(nest.coarsen(-SETTLED, times), -nest.coarsen(SETTLED, times))
        again = nest.coarsen(nest.coarsen(EVERY, times), 1)
        np.testing.assert_array_equal(again, nest.coarsen(EVERY, times + 1))


@given(st.fractions(-127, 127), st.integers(0, 3))
def test_coarsening_commutes_with_rounding(value: Fraction, times: int) -> None:
    half = Fraction(1, 2)
    fine = np.array([floor(value + half)], np.int8)
    assert nest.coarsen(fine, times)[0] == floor(value / 3**times + half)


@given(LATENTS, LEVELS)
def test_join_is_the_inverse_of_split(symbols: Symbols, at: tuple[int, int]) -> None:
    level, levels = at
    count = nest.layers(level, levels)
    planes = nest.split(symbols, count)
    assert planes.shape == (count * CHANNELS, 4, 5)
    assert planes.dtype == np.int8
    assert np.abs(planes[CHANNELS:]).max(initial=0) <= 1
    found = nest.join(planes, len(planes), CHANNELS, level, levels)
    np.testing.assert_array_equal(found.symbols, np.maximum(symbols, -127))
    assert found.symbols.dtype == np.int8
    assert found.levels.dtype == np.int64
    assert found.levels.tolist() == [level] * CHANNELS


def test_join_is_the_inverse_of_split_for_every_symbol() -> None:
    for level in range(8):
        planes = nest.split(EVERY.reshape(1, 16, 16), nest.layers(level, 8))
        found = nest.join(planes, len(planes), 1, level, 8)
        np.testing.assert_array_equal(found.symbols.ravel(), SETTLED)


@given(LATENTS, LEVELS)
def test_a_coarser_level_is_the_first_planes(symbols: Symbols, at: tuple[int, int]) -> None:
    count = nest.layers(*at)
    planes = nest.split(symbols, count)
    for times in range(count):
        coarser = nest.split(nest.coarsen(symbols, times), count - times)
        np.testing.assert_array_equal(coarser, planes[: len(coarser)])


def check_part(symbols: Symbols, found: Latent, whole: int, at: tuple[int, int]) -> None:
    """Each channel is the original, coarsened to the finest level whose plane is whole."""
    level, levels = at
    for channel in range(len(symbols)):
        arrived = len(range(channel, whole, len(symbols)))
        expected = level + 2 * (nest.layers(level, levels) - arrived) if arrived else levels
        assert found.levels[channel] == expected
        if arrived:
            coarse = nest.coarsen(symbols[channel], (expected - level) // 2)
            np.testing.assert_array_equal(found.symbols[channel], coarse)
        else:
            assert not found.symbols[channel].any()


@given(LATENTS, LEVELS, st.integers(-128, 127))
def test_planes_that_did_not_arrive_count_for_nothing(
    symbols: Symbols, at: tuple[int, int], rest: int
) -> None:
    planes, before = nest.split(symbols, nest.layers(*at)), np.full(CHANNELS, at[1])
    for whole in range(len(planes) + 1):
        arrived = planes.copy()
        arrived[whole:] = rest
        found = nest.join(arrived, whole, CHANNELS, *at)
        check_part(symbols, found, whole, at)
        assert (found.levels <= before).all()
        assert (np.diff(found.levels) >= 0).all()
        before = found.levels


@given(arrays(np.int8, (2 * 4, 3, 3)), st.integers(0, 8))
def test_damaged_planes_stay_within_int8(planes: Symbols, whole: int) -> None:
    found = nest.join(planes, whole, 2, 0, 8)
    assert found.symbols.min() >= -127
    assert set(found.levels) <= {0, 2, 4, 6, 8}


def test_several_frames_are_split_at_once() -> None:
    some = np.random.default_rng(1).integers(-128, 128, (2, CHANNELS, 4, 5), np.int8)
    together = nest.split(some, 3)
    np.testing.assert_array_equal(together, np.stack([nest.split(each, 3) for each in some]))


def model(count: int, channels: int = CHANNELS) -> EntropyModel:
    """A model of ``count`` layers whose refinements see the coarser plane, on all its sides."""
    steps = np.arange(-128, 128)
    coarse = [Table.from_counts(np.exp(-np.abs(steps) / width), -128) for width in (0.3, 2.0, 9.0)]
    fine = [Table(-1, (6000, 4384, 5999), 1), Table(-1, (900, 14583, 900), 1)]
    constant = Table(0, (1 << 14,), 0)
    contexts = [Context(5 if c == channels - 1 else min(c, 2)) for c in range(channels)]
    for plane in range(channels, count * channels):
        below = plane - channels
        sides = ((below, -1, 0), (below, 0, -1), (below, 0, 1), (below, 1, 0))
        scale = tuple(Tap(*side, -200) for side in sides)
        contexts.append(Context(3, scale=scale, bias=1100, bins=2, lowest=39))
    return EntropyModel(TableSet((*coarse, *fine, constant)), tuple(contexts))


def draw(rng: np.random.Generator, shape: tuple[int, ...], channels: int = CHANNELS) -> Symbols:
    """Symbols of many spreads; the coarsest layer of the last channel is 0."""
    spread = rng.choice([0.2, 2.0, 20.0])
    symbols = np.rint(rng.laplace(0, spread, (channels, *shape))).clip(-128, 127)
    symbols[-1] = symbols[-1].clip(-1, 1)
    found: Symbols = symbols.astype(np.int8)
    return found


def test_a_coarser_stream_is_that_of_the_first_planes() -> None:
    rng, levels = np.random.default_rng(3), 8
    whole = model(nest.layers(0, levels))
    for chain in (0, 1):
        for _ in range(20):
            finest = draw(rng, (5, 6))
            planes = nest.split(finest, nest.layers(chain, levels))
            for level in range(chain, levels, 2):
                count = nest.layers(level, levels)
                coarser = nest.split(nest.coarsen(finest, level // 2), count)
                coded = stream.encode(coarser, whole)
                assert coded == stream.encode(planes[: count * CHANNELS], whole)
                assert coded == stream.encode(coarser, model(count))


@given(st.integers(0, 2**32 - 1), LEVELS)
@settings(deadline=None, max_examples=40)
def test_every_beginning_of_every_stream_is_a_latent(seed: int, at: tuple[int, int]) -> None:
    count = nest.layers(*at)
    symbols = draw(np.random.default_rng(seed), (4, 5))
    symbols[-1] = 0 if count == 1 else symbols[-1]
    coder, shape = model(count), (count * CHANNELS, 4, 5)
    data = stream.encode(nest.split(symbols, count), coder)
    before = np.full(CHANNELS, at[1])
    for size in range(STATE_BYTES, len(data) + 1, 2):
        decoded = stream.decode(data[:size], coder, shape)
        found = nest.join(decoded.planes, decoded.whole, CHANNELS, *at)
        check_part(symbols, found, decoded.whole, at)
        assert (found.levels <= before).all()
        before = found.levels
    np.testing.assert_array_equal(found.symbols, np.maximum(symbols, -127))
    assert (before == at[0]).all()


def test_nearly_all_of_a_cut_stream_is_whole_planes() -> None:
    rng, channels, shape = np.random.default_rng(7), 12, (8, 8)
    coder, useful = model(3, channels), []
    for _ in range(100):
        planes = nest.split(draw(rng, shape, channels), 3)
        data = stream.encode(planes, coder)
        least = len(stream.encode(planes[:channels], coder))
        sent = stream.cut(data, int(rng.integers(least, len(data))))
        whole = stream.decode(sent, coder, planes.shape).whole
        assert whole >= channels
        useful.append(len(stream.encode(planes[:whole], coder)) / len(sent))
    assert np.mean(useful) > 0.95
