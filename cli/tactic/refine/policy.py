"""Which first packet and which threshold to use, and what that is worth beside one setting.

Chosen on some photos and judged on others. What refinement is compared with has the same mean
bytes or fewer: the best rate level, and the best mixture of levels, some frames at one and the
others at another. The best level is even taken on the photos that are judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate.errors import EvaluationError
from tactic.refine.traces import Traces
from tactic_codec.packet import HEADER_BYTES

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

_SHARES = np.linspace(0.05, 0.95, 37)
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a frame.

    Attributes
    ----------
    first : int
        Which first packet; refinement completes it to its level.
    threshold : float
        Score below which it is asked for.
    """

    first: int
    threshold: float

    def asks(self, traces: Traces) -> NDArray[np.bool_]:
        """Which photos are refined, bool (N,)."""
        unsure: NDArray[np.bool_] = traces.score[traces.firsts[self.first].shows] < self.threshold
        return unsure

    def cost(self, traces: Traces) -> Floats:
        """Bytes of each photo, headers of both packets included, float64 (N,)."""
        first = traces.first_bytes[self.first]
        more = traces.level_bytes[traces.firsts[self.first].level] - first + HEADER_BYTES
        cost: Floats = (first + self.asks(traces) * more).astype(np.float64)
        return cost

    def right(self, traces: Traces) -> Floats:
        """1 where the last answer on a photo is right, float64 (N,)."""
        first = traces.firsts[self.first]
        refined, at_first = traces.right[first.level], traces.right[first.shows]
        right: Floats = np.where(self.asks(traces), refined, at_first).astype(np.float64)
        return right


@dataclass(frozen=True, slots=True)
class Judgement:
    """A plan on photos it was not chosen on; intervals are of 95 %.

    Attributes
    ----------
    mean_bytes, accuracy, asked : float
        Of the plan; the share of frames that is asked for.
    level, mixture : float
        Accuracy of the best level, and of the best mixture, with no more mean bytes.
    over_level, over_mixture : tuple of float
        Accuracy gained: estimate, lower and upper end of the interval, as shares.
    fewer_than_level, fewer_than_mixture : tuple of float
        Share of the bytes saved at equal accuracy: the same three.
    """

    mean_bytes: float
    accuracy: float
    asked: float
    level: float
    mixture: float
    over_level: tuple[float, float, float]
    over_mixture: tuple[float, float, float]
    fewer_than_level: tuple[float, float, float]
    fewer_than_mixture: tuple[float, float, float]


def choose(traces: Traces, part: Index, budget_bytes: float) -> Plan:
    """The plan that is right most often within a budget, on some photos.

    Raises
    ------
    EvaluationError
        None keeps to it.
    """
    some = traces.of(part)
    best, most = None, -1.0
    for plan in _plans(some):
        right = float(plan.right(some).mean())
        if right > most and plan.cost(some).mean() <= budget_bytes:
            best, most = plan, right
    if best is None:
        least = some.first_bytes.mean(axis=1).min()
        raise EvaluationError(
            f"no first packet fits {budget_bytes:.0f} bytes; the smallest takes {least:.0f}"
        )
    return best


def judge(traces: Traces, plan: Plan, chosen_on: Index, judged_on: Index) -> Judgement:
    """Compare a plan with settings without refinement, on photos it was not chosen on.

    Parameters
    ----------
    traces : Traces
    plan : Plan
    chosen_on, judged_on : intp arrays
        Photos.
    """
    held = traces.of(judged_on)
    frontier = _frontier(traces.of(chosen_on))
    cost, right = plan.cost(held), plan.right(held)
    rng = np.random.default_rng(0)
    photos = len(judged_on)
    draws = [np.arange(photos), *rng.integers(0, photos, (_RESAMPLES, photos))]
    figures = np.array([_figures(held, frontier, cost, right, draw) for draw in draws])
    ends = np.percentile(figures[1:], [2.5, 97.5], axis=0)
    gains = [(float(figures[0, n]), float(ends[0, n]), float(ends[1, n])) for n in range(4)]
    accuracy = float(right.mean())
    return Judgement(
        float(cost.mean()),
        accuracy,
        float(plan.asks(held).mean()),
        accuracy - gains[0][0],
        accuracy - gains[1][0],
        *gains,
    )


def halves(photos: int) -> tuple[Index, Index]:
    """Photos to choose on and to judge on; traces are in random order already."""
    return np.arange(0, photos, 2), np.arange(1, photos, 2)


def _plans(traces: Traces) -> Iterator[Plan]:
    for number, first in enumerate(traces.firsts):
        for threshold in np.quantile(traces.score[first.shows], _SHARES):
            yield Plan(number, float(threshold))


def _frontier(traces: Traces) -> list[int]:
    """The levels at the corners of the upper hull of accuracy over mean bytes, coarsest first."""
    points = [
        (float(size.mean()), float(right.mean()), level)
        for level, (size, right) in enumerate(zip(traces.level_bytes, traces.right, strict=True))
    ]
    hull: list[tuple[float, float, int]] = []
    for point in sorted(points):
        if hull and point[1] <= hull[-1][1]:
            continue
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return [level for _, _, level in hull]


def _turns_up(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> bool:
    return (c[1] - a[1]) * (b[0] - a[0]) >= (b[1] - a[1]) * (c[0] - a[0])


def _figures(
    traces: Traces, frontier: list[int], cost: Floats, right: Floats, draw: Index
) -> list[float]:
    """Accuracy over the best level and the best mixture, then bytes saved; of drawn photos."""
    sizes = traces.level_bytes[:, draw].mean(axis=1)
    rights = traces.right[:, draw].mean(axis=1)
    mean_bytes, accuracy = float(cost[draw].mean()), float(right[draw].mean())
    level = float(rights[sizes <= mean_bytes].max(initial=0.0))
    mixture = np.interp(mean_bytes, sizes[frontier], rights[frontier])
    reached = sizes[rights >= accuracy]
    enough = float(reached.min()) if len(reached) else float(sizes[0])
    mixed = _bytes_for(accuracy, sizes[frontier], rights[frontier])
    return [
        accuracy - level,
        accuracy - float(mixture),
        1 - mean_bytes / enough,
        1 - mean_bytes / mixed,
    ]


def _bytes_for(accuracy: float, mean_bytes: Floats, right: Floats) -> float:
    """Mean bytes of a mixture of that accuracy; those of the finest where it does not reach it."""
    reached = np.flatnonzero(right >= accuracy)
    if not len(reached):
        return float(mean_bytes[-1])
    n = int(reached[0])
    if n == 0:
        return float(mean_bytes[0])
    share = (accuracy - right[n - 1]) / (right[n] - right[n - 1])
    return float(mean_bytes[n - 1] + share * (mean_bytes[n] - mean_bytes[n - 1]))
