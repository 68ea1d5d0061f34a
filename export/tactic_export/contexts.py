"""Fit the context models: which decoded symbols foretell a symbol's mean and spread, how much.

Both are linear in symbols that the decoder already has, fitted by least squares on training
latents and rounded to the integers of the wire format ("Contexts"). A refinement sees the coarser
symbols on all sides of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tactic_codec.contexts import MEAN_UNIT, SCALE_UNIT, Context, Tap

#: taps a symbol of the first layer: twice as many saved 1 % more on photos
MEAN_TAPS, SCALE_TAPS = 8, 16
#: taps of a refinement
FINE_MEAN_TAPS, FINE_SCALE_TAPS = 16, 32
#: symbols of a channel that are looked at; a crop of 128 pixels has 64
MOST_ROWS = 60_000
#: weight of the wish for small weights, in rows of data
RIDGE = 50.0
#: tables for spreads from 2^-8 to 2^6 steps, four for each doubling and each quarter of a mean
LOWEST_BIN, BINS, FRACTIONS = 8, 56, 4
#: refinements are at most 1, so they need fewer
FINE_BINS = 36
COARSE_TABLES = BINS * FRACTIONS
TABLES = COARSE_TABLES + FINE_BINS * FRACTIONS
_ROUNDS = 3
#: channels back from which the magnitudes beside a symbol are looked at
_BESIDE = 16
#: channels to either side from which a refinement looks at them
_FINE_BESIDE = 4
#: smallest spread that is told apart, relative to the channel's own
_FLOOR = 0.02

OFFSETS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
_HERE = OFFSETS.index((0, 0))
_BESIDE_HERE = [i for i, offset in enumerate(OFFSETS) if offset.count(0) == 1]
Rows = NDArray[np.float32]


def fit_contexts(planes: NDArray[np.int8], channels: int) -> list[Context]:
    """Fit a context to every plane of a chain's streams.

    Parameters
    ----------
    planes : int8 array (N, P, h, w)
        Of training crops.
    channels : int
        Planes of the first layer. They choose among the tables 0 … ``COARSE_TABLES`` − 1,
        refinements among the others up to ``TABLES``.
    """
    shifted = _shifted(planes)
    gram = shifted.T @ shifted
    magnitudes = np.abs(shifted)
    contexts = []
    for number in range(planes.shape[1]):
        fine = number >= channels
        mean = _mean_taps(gram, number, FINE_MEAN_TAPS if fine else MEAN_TAPS)
        found = shifted[:, number * len(OFFSETS) + _HERE]
        residual = np.abs(found - _sums(shifted, mean) / MEAN_UNIT)
        candidates = _near(number, channels)
        most = FINE_SCALE_TAPS if fine else SCALE_TAPS
        scale, bias = _scale_taps(magnitudes, residual, candidates, most)
        contexts.append(
            Context(
                mean=mean,
                scale=scale,
                bias=bias,
                first=COARSE_TABLES if fine else 0,
                bins=FINE_BINS if fine else BINS,
                lowest=LOWEST_BIN,
                fractions=FRACTIONS,
            )
        )
    return contexts


def _shifted(latents: NDArray[np.int8]) -> Rows:
    """Neighbourhoods of symbols: float32 (rows, C · 9), zero beyond the border."""
    n, channels, height, width = latents.shape
    padded = np.pad(latents, ((0, 0), (0, 0), (1, 1), (1, 1)))
    views = [padded[:, :, 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in OFFSETS]
    stacked = np.stack(views, axis=-1).transpose(0, 2, 3, 1, 4)
    every = stacked.reshape(n * height * width, channels * len(OFFSETS))
    return every[:: -(-len(every) // MOST_ROWS)].astype(np.float32)


def _decoded(number: int) -> NDArray[np.int64]:
    """Columns of `_shifted` that a decoder has when it comes to a symbol of this plane."""
    return np.arange(number * len(OFFSETS) + _HERE)


def _mean_taps(gram: Rows, number: int, most: int) -> tuple[Tap, ...]:
    columns = _decoded(number)
    target = number * len(OFFSETS) + _HERE
    weights = _solve(gram[np.ix_(columns, columns)], gram[columns, target])
    effect = np.abs(weights) * np.sqrt(np.diag(gram)[columns])
    chosen = columns[np.sort(np.argsort(-effect)[:most])]
    weights = _solve(gram[np.ix_(chosen, chosen)], gram[chosen, target])
    return _taps(chosen, weights * MEAN_UNIT)


def _scale_taps(
    magnitudes: Rows, residual: Rows, candidates: NDArray[np.int64], most: int
) -> tuple[tuple[Tap, ...], int]:
    """Weights and bias of the spread, each row weighed by what is expected of it."""
    chosen = _most_telling(magnitudes, residual, candidates, most)
    features = np.column_stack([magnitudes[:, chosen], np.ones(len(residual), np.float32)])
    expected = np.full_like(residual, max(float(residual.mean()), 1e-3))
    weights = np.zeros(len(chosen) + 1)
    for _ in range(_ROUNDS):
        scaled = features / expected[:, None]
        weights = _solve(scaled.T @ scaled, scaled.T @ (residual / expected))
        expected = np.maximum(features @ weights, _FLOOR * residual.mean() + 1e-3)
        expected = expected.astype(np.float32)
    return _taps(chosen, weights[:-1] * SCALE_UNIT), round(float(weights[-1]) * SCALE_UNIT)


def _most_telling(
    magnitudes: Rows, residual: Rows, columns: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    """The magnitudes that foretell most, by a regression on a part of the rows."""
    rows = magnitudes[::4, columns]
    gram = rows.T @ rows
    weights = _solve(gram, rows.T @ residual[::4])
    effect = np.abs(weights) * np.sqrt(np.diag(gram))
    return columns[np.sort(np.argsort(-effect)[:most])]


def _near(number: int, channels: int) -> NDArray[np.int64]:
    """Decoded columns of the own channel, of the same place, and beside it in near channels."""
    columns = _decoded(number)
    source, offset = np.divmod(columns, len(OFFSETS))
    beside = np.isin(offset, _BESIDE_HERE)
    if number < channels:
        same, close = source == number, number - source <= _BESIDE
    else:
        away = np.abs(source % channels - number % channels)
        same, close = away == 0, away <= _FINE_BESIDE
    near: NDArray[np.int64] = columns[same | (offset == _HERE) | (beside & close)]
    return near


def _solve(gram: NDArray[np.floating], cross: NDArray[np.floating]) -> NDArray[np.float64]:
    size = len(cross)
    if not size:
        return np.zeros(0)
    ridge = RIDGE * np.eye(size)
    solution = np.linalg.solve(gram.astype(np.float64) + ridge, cross.astype(np.float64))
    return solution.astype(np.float64)


def _taps(columns: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[Tap, ...]:
    rounded = np.clip(np.rint(weights), -32767, 32767).astype(int)
    return tuple(
        Tap(column // len(OFFSETS), dy, dx, weight)
        for column, weight in zip(columns.tolist(), rounded.tolist(), strict=True)
        for dy, dx in (OFFSETS[column % len(OFFSETS)],)
        if weight
    )


def _sums(shifted: Rows, taps: tuple[Tap, ...]) -> Rows:
    total = np.zeros(len(shifted), np.float32)
    for tap in taps:
        column = tap.channel * len(OFFSETS) + OFFSETS.index((tap.dy, tap.dx))
        total += tap.weight * shifted[:, column]
    return total
