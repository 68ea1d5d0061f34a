"""Intervals of figures over pictures that are drawn anew (Efron, 1979, percentile intervals)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
#: resamples that must have a figure for it to have an interval
_LEAST_SHARE = 0.95
_SEED = 0
_PERCENTILES = (2.5, 97.5)

Floats = NDArray[np.float64]


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
