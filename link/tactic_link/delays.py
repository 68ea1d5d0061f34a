"""Delays of any number of frames in bounded memory: counts in bins of equal ratio."""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

_LEAST_S = 1e-3
#: a bin is half a per cent wide; 4,600 of them reach from a millisecond to four months
_RATIO = 1.005
_BINS = 4600


class Delays:
    """A histogram of delays."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)

    def add(self, seconds: float) -> None:
        """Count one."""
        place = int(log(seconds / _LEAST_S) / log(_RATIO)) if seconds > _LEAST_S else 0
        self.counts[min(place, _BINS - 1)] += 1

    def merge(self, other: Delays) -> None:
        """Count what another one counted."""
        self.counts += other.counts

    def percentile(self, share: float) -> float | None:
        """Delay in seconds that so large a share does not exceed, within half a per cent."""
        total = int(self.counts.sum())
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(self.counts), share * total))
        return float(_LEAST_S * _RATIO ** (place + 0.5))

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Delays in seconds, and the share of the frames that each of them covers."""
        used = np.flatnonzero(self.counts)
        share = np.cumsum(self.counts)[used] / max(1, self.counts.sum())
        seconds = _LEAST_S * _RATIO ** (used + 1.0)
        return seconds.astype(np.float64), share.astype(np.float64)
