"""Context models: decoded symbols around a symbol choose the table it is coded with.

Two linear sums of integers foretell a symbol: its mean, which is taken off before coding, and
its spread, which chooses the table. Normative text: ``docs/wire-format.md``, "Contexts".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tactic_codec.errors import TableError
from tactic_codec.tables import HIGHEST, LOWEST

MEAN_UNIT, SCALE_UNIT = 1 << 8, 1 << 10
"""Weights of 1: how many units of a sum make one quantisation step."""
MAX_TAPS = 32
MAX_WEIGHT = (1 << 15) - 1
MAX_BIAS = 1 << 28
MAX_BINS = 64
MAX_LOWEST = 127
MAX_FIRST = (1 << 16) - 1


class Tap(NamedTuple):
    """One decoded symbol, seen from the symbol that is coded.

    Attributes
    ----------
    channel : int
        An earlier channel, or the symbol's own.
    dy, dx : int
        Rows down and columns right, -1 … 1. Beyond the border there are zeros.
    weight : int
        -32767 … 32767.
    """

    channel: int
    dy: int
    dx: int
    weight: int


@dataclass(frozen=True, slots=True)
class Context:
    """How the symbols of one channel choose their tables.

    Attributes
    ----------
    first : int
        Index of the channel's first table.
    mean, scale : tuple of Tap
        At most 32 each, in rising order of (channel, dy, dx), each place once. Weights of
        ``mean`` are in units of 2^-8 of a symbol, those of ``scale`` in 2^-10 of its magnitude.
    bias : int
        Added to the sum of ``scale``, at most 2^28 either way.
    bins : int
        1 … 64 steps of spread, four to a doubling.
    lowest : int
        Number of the first step, 0 … 127; step 40 begins at a spread of 1.
    fractions : int
        4: each quarter of a foretold mean has tables of its own; 1: it is rounded.

    Raises
    ------
    TableError
        Something is out of its range.
    """

    first: int
    mean: tuple[Tap, ...] = ()
    scale: tuple[Tap, ...] = ()
    bias: int = 0
    bins: int = 1
    lowest: int = 0
    fractions: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.first <= MAX_FIRST or not 1 <= self.bins <= MAX_BINS:
            raise TableError(f"context has first table {self.first} and {self.bins} bins")
        if not 0 <= self.lowest <= MAX_LOWEST or abs(self.bias) > MAX_BIAS:
            raise TableError(f"context has lowest step {self.lowest} and bias {self.bias}")
        if self.fractions not in (1, 4):
            raise TableError(f"context has {self.fractions} fractions, allowed are 1 and 4")
        for taps in (self.mean, self.scale):
            if len(taps) > MAX_TAPS or any(abs(tap.weight) > MAX_WEIGHT for tap in taps):
                raise TableError("context has more than 32 taps or a weight beyond 32767")
            places = [tap[:3] for tap in taps]
            if any(not (c >= 0 and -1 <= y <= 1 and -1 <= x <= 1) for c, y, x in places):
                raise TableError("context has a tap of no channel or more than a step away")
            if any(a >= b for a, b in pairwise(places)):
                raise TableError("context has taps out of order or twice")

    @property
    def tables(self) -> range:
        """Indices of the tables it can choose."""
        return range(self.first, self.first + self.bins * self.fractions)

    @property
    def is_static(self) -> bool:
        """Whether every symbol is coded with the first table, around 0."""
        return not self.mean and not self.scale and len(self.tables) == 1

    @property
    def thresholds(self) -> list[int]:
        """The spread, in units of 2^-10, from which on each bin but the first is chosen."""
        steps = range(self.lowest + 1, self.lowest + self.bins)
        return [(((4 + step % 4) << step // 4) + 3) >> 2 for step in steps]

    def is_decodable(self, channel: int) -> bool:
        """Whether all taps lie before the symbols of ``channel`` in stream order."""
        return all(
            tap.channel < channel or (tap.channel == channel and (tap.dy, tap.dx) < (0, 0))
            for tap in self.mean + self.scale
        )


def select(
    symbols: NDArray[np.int8], channel: int, context: Context
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Base and table of every symbol of one channel.

    Parameters
    ----------
    symbols : int8 array (N, C, h, w)
        Latents as a decoder shows them: constant channels hold their constant.
    channel : int
        The channel that ``context`` is of.
    context : Context

    Returns
    -------
    base : int32 array (N, h, w)
        -128 … 127; the residual is ``symbols[:, channel] - base``, modulo 256.
    table : int32 array (N, h, w)
        Index of the table that codes the residual.

    Raises
    ------
    TableError
        A tap lies on the symbol itself or after it.
    """
    if not context.is_decodable(channel):
        raise TableError(f"context of channel {channel} has a tap that is not yet decoded")
    shape = (len(symbols), *symbols.shape[2:])
    mean = weighted_sum(symbols, context.mean, shape)
    scale = weighted_sum(symbols, context.scale, shape, magnitudes=True)
    return choose(context, mean, scale + np.int32(context.bias))


def choose(
    context: Context, mean: NDArray[np.int32], scale: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Base and table for the sums of ``mean`` and of ``scale`` (bias added), of any shape."""
    quarters = (mean + 32) >> 6 if context.fractions == 4 else ((mean + 128) >> 8) << 2
    base = np.clip(quarters >> 2, LOWEST, HIGHEST).astype(np.int32)
    bins = np.searchsorted(context.thresholds, scale, side="right")
    table = context.first + bins * context.fractions + (quarters & 3)
    return base, table.astype(np.int32)


def weighted_sum(
    symbols: NDArray[np.int8],
    taps: Iterable[Tap],
    shape: tuple[int, ...],
    magnitudes: bool = False,
) -> NDArray[np.int32]:
    """Sum of the tapped symbols (N, C, h, w), or of their magnitudes, times their weights.

    Returns
    -------
    int32 array of ``shape``
        (N, h, w).
    """
    total = np.zeros(shape, np.int32)
    for channel, dy, dx, weight in taps:
        to_rows, from_rows = _overlap(shape[1], dy)
        to_columns, from_columns = _overlap(shape[2], dx)
        seen = symbols[:, channel, from_rows, from_columns].astype(np.int32)
        total[:, to_rows, to_columns] += np.int32(weight) * (np.abs(seen) if magnitudes else seen)
    return total


def _overlap(size: int, step: int) -> tuple[slice, slice]:
    """Where a row of ``size`` meets itself moved by ``step``: in the target, in the source."""
    inside = max(size - abs(step), 0)
    to, source = max(-step, 0), max(step, 0)
    return slice(to, to + inside), slice(source, source + inside)
