"""Contexts: the choice of base and table against the text of the format, and every range."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tactic_codec.contexts import MAX_BIAS, MAX_TAPS, MAX_WEIGHT, Context, Tap, select
from tactic_codec.errors import TableError

WEIGHTS = st.one_of(st.integers(-400, 400), st.integers(-MAX_WEIGHT, MAX_WEIGHT))
STEPS = (-1, 0, 1)


@st.composite
def taps(draw: st.DrawFn, channel: int) -> tuple[Tap, ...]:
    earlier = product(range(channel), STEPS, STEPS)
    own = [(channel, -1, -1), (channel, -1, 0), (channel, -1, 1), (channel, 0, -1)]
    places = st.sampled_from([*earlier, *own])
    chosen = draw(st.lists(places, max_size=MAX_TAPS, unique=True))
    return tuple(Tap(*place, draw(WEIGHTS)) for place in sorted(chosen))


@st.composite
def contexts(draw: st.DrawFn, channel: int) -> Context:
    return Context(
        first=draw(st.integers(0, 900)),
        mean=draw(taps(channel)),
        scale=draw(taps(channel)),
        bias=draw(st.one_of(st.integers(-3000, 3000), st.integers(-MAX_BIAS, MAX_BIAS))),
        bins=draw(st.integers(1, 64)),
        lowest=draw(st.integers(0, 127)),
        fractions=draw(st.sampled_from([1, 4])),
    )


def expected(symbols: NDArray[np.int8], context: Context, y: int, x: int) -> tuple[int, int]:
    """Base and table of one symbol, word by word as the format says."""

    def seen(tap: Tap) -> int:
        row, column = y + tap.dy, x + tap.dx
        inside = 0 <= row < symbols.shape[1] and 0 <= column < symbols.shape[2]
        return int(symbols[tap.channel, row, column]) if inside else 0

    m = sum(tap.weight * seen(tap) for tap in context.mean)
    a = max(context.bias + sum(tap.weight * abs(seen(tap)) for tap in context.scale), 1)
    assert max(abs(m) + 128, 4 * a) < 2**31
    e = a.bit_length() - 1
    step = 4 * e + (((a << 2) >> e) & 3)
    chosen = min(max(step - context.lowest, 0), context.bins - 1)
    q = (m + 32) >> 6
    if context.fractions == 1:
        return min(max((m + 128) >> 8, -128), 127), context.first + chosen
    return min(max(q >> 2, -128), 127), context.first + chosen * 4 + (q & 3)


@given(st.integers(0, 3).flatmap(lambda c: st.tuples(st.just(c), contexts(c))), st.data())
@settings(deadline=None)
def test_select_does_what_the_format_says(chosen: tuple[int, Context], data: st.DataObject) -> None:
    channel, context = chosen
    shape = (2, 4, data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    widest = data.draw(st.sampled_from([1, 4, 127]))
    symbols = rng.integers(-widest - 1, widest + 1, shape).astype(np.int8)
    base, table = select(symbols, channel, context)
    assert base.shape == table.shape == (2, *shape[2:])
    for n, y, x in product(*map(range, base.shape)):
        found = (int(base[n, y, x]), int(table[n, y, x]))
        assert found == expected(symbols[n], context, y, x)
        assert found[1] in context.tables


def test_no_sum_leaves_32_bits() -> None:
    places = sorted(product(range(4), STEPS, STEPS))[:MAX_TAPS]
    for weight, bias in product((MAX_WEIGHT, -MAX_WEIGHT), (MAX_BIAS, -MAX_BIAS)):
        heavy = tuple(Tap(*place, weight) for place in places)
        context = Context(7, heavy, heavy, bias, bins=64, lowest=60, fractions=4)
        symbols = np.full((1, 5, 3, 3), -128, np.int8)
        base, table = select(symbols, 4, context)
        assert (base[0, 1, 1], table[0, 1, 1]) == expected(symbols[0], context, 1, 1)


@pytest.mark.parametrize("lowest", [0, 1, 7, 40, 127])
def test_steps_are_quarters_of_octaves(lowest: int) -> None:
    thresholds = Context(0, bins=64, lowest=lowest).thresholds
    for a in [*range(1, 5000), *(2**k + d for k in range(3, 31) for d in (-1, 0, 1))]:
        e = a.bit_length() - 1
        step = 4 * e + (((a << 2) >> e) & 3)
        assert sum(a >= t for t in thresholds) == min(max(step - lowest, 0), 63)


def test_static() -> None:
    assert Context(3).is_static
    assert Context(3, bias=9, lowest=2).is_static
    assert not Context(3, bins=2).is_static
    assert not Context(3, fractions=4).is_static
    assert not Context(3, mean=(Tap(0, 0, -1, 1),)).is_static


@pytest.mark.parametrize(
    "late", [(0, 0, 0), (0, 0, 1), (0, 1, -1), (0, 1, 0), (1, -1, -1), (1, 0, 0)]
)
def test_a_tap_that_is_not_yet_decoded_is_refused(late: tuple[int, int, int]) -> None:
    context = Context(0, scale=(Tap(*late, 1),))
    assert not context.is_decodable(0)
    with pytest.raises(TableError, match="not yet decoded"):
        select(np.zeros((1, 2, 3, 3), np.int8), 0, context)


NEAR = Tap(0, 0, -1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"first": -1},
        {"first": 65536},
        {"bins": 0},
        {"bins": 65},
        {"lowest": -1},
        {"lowest": 128},
        {"bias": MAX_BIAS + 1},
        {"bias": -MAX_BIAS - 1},
        {"fractions": 0},
        {"fractions": 2},
        {"mean": (NEAR, NEAR)},
        {"mean": (NEAR, Tap(0, -1, 0, 1))},
        {"scale": (Tap(1, 0, 0, 1), NEAR)},
        {"scale": (Tap(0, -2, 0, 1),)},
        {"scale": (Tap(0, -1, 2, 1),)},
        {"scale": (Tap(-1, -1, 0, 1),)},
        {"mean": (Tap(0, -1, 0, MAX_WEIGHT + 1),)},
        {"mean": (Tap(0, -1, 0, -MAX_WEIGHT - 1),)},
        {"mean": tuple(Tap(c, 0, 0, 1) for c in range(MAX_TAPS + 1))},
    ],
)
def test_what_is_out_of_range_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(TableError) as caught:
        Context(**({"first": 0} | change))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
