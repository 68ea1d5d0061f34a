"""Curves of bytes against accuracy: envelope, and bytes at an accuracy.

All functions take a curve as P points in any order; the last axis, where there is one, holds R
resamples that are treated one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: points of accuracy that may be lost where codecs are compared
LOSS = 0.05

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


def ratio(theirs: Floats, ours: Floats) -> Floats:
    """Bytes of another codec divided by ours, where both were read off at one accuracy.

    Parameters
    ----------
    theirs, ours : float64 arrays (R,)
        From `bytes_at`.

    Returns
    -------
    float64 array (R,)
        NaN where theirs does not reach the accuracy, 0 where ours does not: no number of our bytes
        is enough.
    """
    return np.where(np.isnan(ours), 0.0, theirs / ours)
