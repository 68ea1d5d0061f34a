"""The Bjøntegaard difference against examples that a hand can check, and a published spline."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tactic.reproduce.bd_rate import area, bd_rate, pchip_slopes

SIZES = np.array([100.0, 200.0, 400.0, 800.0])
ACCURACY = np.array([0.5, 0.7, 0.8, 0.85])


def test_half_the_bytes_everywhere_is_minus_half() -> None:
    assert bd_rate((SIZES, ACCURACY), (SIZES / 2, ACCURACY)) == pytest.approx(-0.5)
    assert bd_rate((SIZES, ACCURACY), (SIZES * 3, ACCURACY)) == pytest.approx(2)
    assert bd_rate((SIZES, ACCURACY), (SIZES, ACCURACY)) == pytest.approx(0)


def test_by_hand() -> None:
    # Straight lines: ln bytes is 4 + 10 a for one and 5 + 6 a for the other. From 0.1 to 0.5 the
    # difference 1 − 4 a has the mean 1 − 4 · 0.3 = −0.2.
    a, b = np.array([0.1, 0.5]), np.array([0.0, 0.6])
    theirs, ours = np.exp(4 + 10 * a), np.exp(5 + 6 * b)
    assert bd_rate((theirs, a), (ours, b)) == pytest.approx(math.expm1(-0.2))


def test_only_the_envelope_and_only_what_both_reach() -> None:
    worse = np.append(SIZES, 900.0), np.append(ACCURACY, 0.6)
    assert bd_rate((SIZES, ACCURACY), worse) == pytest.approx(0)
    assert bd_rate((SIZES, ACCURACY), (SIZES, ACCURACY - 0.4)) is None
    assert bd_rate((SIZES, ACCURACY), (SIZES[:1], ACCURACY[:1])) is None


def test_the_spline_is_the_usual_one() -> None:
    interpolate = pytest.importorskip("scipy.interpolate", reason="scipy has the same spline")
    rng = np.random.default_rng(0)
    for points in (3, 4, 9):
        x = np.sort(rng.random(points))
        y = rng.random(points)
        usual = interpolate.PchipInterpolator(x, y)
        np.testing.assert_allclose(pchip_slopes(x, y), usual(x, 1), atol=1e-9)
        low, high = x[0] + 0.1 * (x[1] - x[0]), x[-1] - 0.2 * (x[-1] - x[-2])
        assert area(x, y, low, high) == pytest.approx(usual.integrate(low, high))
