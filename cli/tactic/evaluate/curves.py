"""Curves of bytes against accuracy: envelope, bytes at an accuracy, intervals over pictures.

All functions take a curve as P points in any order; the last axis, where there is one, holds R
resamples that are treated one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: points of accuracy that may be lost where codecs are compared
LOSS = 0.05
RESAMPLES = 1000
#: resamples that must reach an accuracy for the ratio there to have an interval
_LEAST_SHARE = 0.95
_SEED = 0
_PERCENTILES = (2.5, 97.5)

Floats = NDArray[np.float64]


def envelope(sizes: Floats, accuracy: Floats) -> NDArray[np.bool_]:
    """Say which points no other point beats: fewer bytes at an accuracy as high.

    Parameters
    ----------
    sizes, accuracy : float64 arrays (P,)

    Returns
    -------
    bool array (P,)
    """
    order = np.lexsort((-accuracy, sizes))
    best = np.maximum.accumulate(accuracy[order])
    kept = np.zeros(len(sizes), bool)
    kept[order] = np.diff(best, prepend=-np.inf) > 0
    return kept


def bytes_at(sizes: Floats, accuracy: Floats, target: Floats) -> Floats:
    """Bytes at which the envelope reaches an accuracy, between two of its points.

    The logarithm of the bytes is interpolated, linearly in accuracy. A curve that begins above
    the target needs the bytes of its smallest point.

    Parameters
    ----------
    sizes, accuracy : float64 arrays (P, R)
    target : float64 array (R,)

    Returns
    -------
    float64 array (R,)
        NaN where the curve stays below the target.
    """
    order = np.lexsort((-accuracy, sizes), axis=0)
    sizes = np.take_along_axis(sizes, order, axis=0)
    best = np.maximum.accumulate(np.take_along_axis(accuracy, order, axis=0), axis=0)
    columns = np.arange(best.shape[1])
    reached = best >= target
    above = reached.argmax(axis=0)
    before = best[np.maximum(above - 1, 0), columns]
    below = (best == before).argmax(axis=0)
    low, high = best[below, columns], best[above, columns]
    share = np.divide(target - low, high - low, out=np.ones_like(target), where=high > low)
    logs = np.log(sizes)
    found = np.exp((1 - share) * logs[below, columns] + share * logs[above, columns])
    return np.where(reached.any(axis=0), found, np.nan)


def weights(pictures: int) -> Floats:
    """Bootstrap: the share of each picture in each resample, the same every time.

    Returns
    -------
    float64 array (pictures, RESAMPLES)
        Columns add up to 1.
    """
    rng = np.random.default_rng(_SEED)
    counts = rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=RESAMPLES)
    return counts.T / pictures


def interval(resampled: Floats) -> list[float] | None:
    """95 % of the resamples lie in it; None where too many of them are NaN.

    Parameters
    ----------
    resampled : float64 array (R,)
    """
    known = resampled[~np.isnan(resampled)]
    if len(known) < _LEAST_SHARE * len(resampled):
        return None
    low, high = np.percentile(known, _PERCENTILES)
    return [float(low), float(high)]
