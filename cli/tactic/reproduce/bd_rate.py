"""The Bjøntegaard difference, of bytes at equal accuracy.

Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33 (2001): the mean
of the difference between two curves of the logarithm of the rate, over the quality that both reach.
Quality is accuracy here. His cubic through four points is a piecewise one, monotone between its
points, as in later practice: Fritsch and Carlson, "Monotone Piecewise Cubic Interpolation" (1980),
with the slopes of Fritsch and Butland (1984).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate import curves

Floats = NDArray[np.float64]
_FEWEST = 2


def bd_rate(anchor: tuple[Floats, Floats], test: tuple[Floats, Floats]) -> float | None:
    """Mean relative difference in bytes: −0.5 is half the bytes of the anchor.

    Parameters
    ----------
    anchor, test : pairs of float64 arrays (P,)
        Bytes and accuracy of two codecs' settings, in any order; the envelopes are compared.

    Returns
    -------
    float or None
        None where the curves share no range of accuracy, or one is a single point.
    """
    theirs, ours = (_curve(*points) for points in (anchor, test))
    if min(len(theirs[0]), len(ours[0])) < _FEWEST:
        return None
    low = max(theirs[0][0], ours[0][0])
    high = min(theirs[0][-1], ours[0][-1])
    if low >= high:
        return None
    difference = area(*ours, low, high) - area(*theirs, low, high)
    return float(np.expm1(difference / (high - low)))


def _curve(sizes: Floats, accuracy: Floats) -> tuple[Floats, Floats]:
    """Accuracy, rising, and the logarithm of the bytes, on the envelope."""
    kept = curves.envelope(sizes, accuracy)
    order = np.argsort(accuracy[kept])
    return accuracy[kept][order], np.log(sizes[kept][order])


def area(x: Floats, y: Floats, low: float, high: float) -> float:
    """Integral from ``low`` to ``high`` of the piecewise cubic through points of rising x."""
    slopes = pchip_slopes(x, y)
    total = 0.0
    for at in range(len(x) - 1):
        begin, end = max(low, x[at]), min(high, x[at + 1])
        if begin < end:
            width = x[at + 1] - x[at]
            part = [(edge - x[at]) / width for edge in (begin, end)]
            parts = [_antiderivative(t, y[at : at + 2], slopes[at : at + 2] * width) for t in part]
            total += width * (parts[1] - parts[0])
    return float(total)


def _antiderivative(t: float, ends: Floats, slopes: Floats) -> float:
    """Of the cubic Hermite polynomial on [0, 1], from 0 to t."""
    terms = (
        ends[0] * (t**4 / 2 - t**3 + t),
        slopes[0] * (t**4 / 4 - 2 * t**3 / 3 + t**2 / 2),
        ends[1] * (t**3 - t**4 / 2),
        slopes[1] * (t**4 / 4 - t**3 / 3),
    )
    return float(sum(terms))


def pchip_slopes(x: Floats, y: Floats) -> Floats:
    """Slopes at the points: weighted harmonic means of those beside them; 0 where y turns."""
    widths, rises = np.diff(x), np.diff(y) / np.diff(x)
    if len(x) == _FEWEST:
        return np.repeat(rises, 2)
    before, after = rises[:-1], rises[1:]
    first, second = 2 * widths[1:] + widths[:-1], widths[1:] + 2 * widths[:-1]
    same = before * after > 0
    ones = np.ones_like(before)
    inner = (first + second) / (
        first / np.where(same, before, ones) + second / np.where(same, after, ones)
    )
    ends = (
        _end_slope(widths[0], widths[1], rises[0], rises[1]),
        _end_slope(widths[-1], widths[-2], rises[-1], rises[-2]),
    )
    return np.concatenate([[ends[0]], np.where(same, inner, 0.0), [ends[1]]])


def _end_slope(width: float, next_width: float, rise: float, next_rise: float) -> float:
    """Three-point estimate at an end, kept monotone."""
    slope = ((2 * width + next_width) * rise - width * next_rise) / (width + next_width)
    if slope * rise <= 0:
        return 0.0
    if rise * next_rise <= 0 and abs(slope) > 3 * abs(rise):
        return 3 * rise
    return float(slope)
