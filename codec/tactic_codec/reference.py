"""What latents usually look like: the reference that a drift monitor compares a camera with.

No labels are needed. Each channel has a histogram of its symbols; windows of pictures are compared
with it by the Jensen-Shannon divergence, in bits, averaged over the channels, and by the bits that
their symbols would take under it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

#: pictures that are judged together
WINDOW = 100
#: symbols of a bin have one sign and a magnitude from one of these to below the next
MAGNITUDES = (0, 1, 2, 3, 5, 9, 17, 33, 65)
BINS = 2 * len(MAGNITUDES) - 1
#: pictures that differ little among themselves would make a monitor that never rests
LEAST_SPREAD = 0.002

_MOST_PLACES = 128
_DRAWS = 300
_RARE = 1e-4
_WHOLE = 1_000_000


def _bins() -> NDArray[np.intp]:
    symbols = np.arange(-128, 128)
    above = np.searchsorted(MAGNITUDES, np.abs(symbols), side="right") - 1
    return np.asarray(len(MAGNITUDES) - 1 + np.sign(symbols) * above, np.intp)


_BIN = _bins()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reference(_Strict):
    """What the latents of one encoder look like.

    ``histogram``: of each channel, parts of a million for each of `BINS` bins. ``bits`` and
    ``bits_spread``: mean and standard deviation, over pictures, of the bits a symbol takes under
    the histogram. ``distance``: the largest distance that windows drawn from the same pictures had.
    """

    histogram: tuple[Annotated[tuple[int, ...], Field(min_length=BINS, max_length=BINS)], ...]
    bits: float = Field(ge=0.0)
    bits_spread: float = Field(ge=0.0)
    distance: float = Field(gt=0.0)

    def shares(self) -> NDArray[np.float64]:
        """The histogram as float64 (C, BINS), each channel's sum 1."""
        return np.asarray(self.histogram, np.float64) / _WHOLE


class References(_Strict):
    """The file of a bundle: a reference for each of its encoders."""

    format: Literal[1] = 1
    encoders: Annotated[tuple[Reference, ...], Field(min_length=1, max_length=2)]


def count(latent: NDArray[np.int8]) -> NDArray[np.float64]:
    """Histograms of a latent int8 (C, h, w): float64 (C, BINS), each channel's sum 1.

    Of a large latent only some places are looked at, evenly spread.
    """
    channels = len(latent)
    places = latent.reshape(channels, -1)
    places = places[:, :: max(1, places.shape[1] // _MOST_PLACES)]
    first = BINS * np.arange(channels)[:, None]
    found = np.bincount((_BIN[places.astype(np.intp) + 128] + first).ravel(), None, channels * BINS)
    return np.asarray(found.reshape(channels, BINS) / places.shape[1], np.float64)


def distance(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64] | np.float64:
    """Jensen-Shannon divergence of histograms (..., C, BINS), bits, mean over the channels."""
    middle = (one + other) / 2
    nats = (_relative(one, middle) + _relative(other, middle)) / 2
    result: NDArray[np.float64] | np.float64 = nats.sum(-1).mean(-1) / np.log(2)
    return result


def bits(histogram: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits a symbol that histograms (..., C, BINS) take under a reference (C, BINS)."""
    likely = reference * (1 - BINS * _RARE) + _RARE
    found: NDArray[np.float64] = -(histogram * np.log2(likely)).sum(-1).mean(-1)
    return found


def measure(pictures: NDArray[np.float64]) -> Reference:
    """Make a reference.

    Parameters
    ----------
    pictures : float64 array (N, C, BINS)
        Of each picture what `count` gives.
    """
    mean = pictures.mean(0)
    of_pictures = bits(pictures, mean)
    # The largest distance of many windows drawn from these very pictures is what chance may do.
    drawn = np.random.default_rng(0).multinomial(
        WINDOW, np.full(len(pictures), 1 / len(pictures)), _DRAWS
    )
    flat = pictures.reshape(len(pictures), -1)
    windows = (drawn @ flat / WINDOW).reshape(_DRAWS, *mean.shape)
    return Reference(
        histogram=tuple(tuple(map(int, row)) for row in np.rint(mean * _WHOLE)),
        bits=float(of_pictures.mean()),
        bits_spread=float(of_pictures.std()),
        distance=max(LEAST_SPREAD, float(np.max(distance(windows, mean)))),
    )


def _relative(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    there = one > 0
    return np.where(there, one * np.log(np.where(there, one, 1) / np.where(there, other, 1)), 0.0)
