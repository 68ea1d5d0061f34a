"""Envelope, interpolation and intervals against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tactic.evaluate import curves

SIZES = np.array([400.0, 100.0, 200.0, 200.0, 800.0])
SHARES = np.array([0.80, 0.40, 0.30, 0.60, 0.80])


def at(target: float, sizes: np.ndarray = SIZES, shares: np.ndarray = SHARES) -> float:
    found = curves.bytes_at(sizes[:, None], shares[:, None], np.array([target]))
    return float(found[0])


def test_envelope() -> None:
    # 200 bytes at 30 % is worse than 100 at 40 %; 800 bytes gain nothing over 400.
    assert curves.envelope(SIZES, SHARES).tolist() == [True, True, False, True, False]


def test_bytes_between_two_points() -> None:
    # Halfway in accuracy is the geometric mean of the bytes.
    assert at(0.50) == pytest.approx(np.sqrt(100 * 200))
    assert at(0.65) == pytest.approx(200 * 2**0.25)


def test_bytes_on_a_point() -> None:
    assert [at(share) for share in (0.40, 0.60, 0.80)] == pytest.approx([100, 200, 400])


def test_beyond_the_ends_of_a_curve() -> None:
    assert np.isnan(at(0.81))
    assert at(0.39) == pytest.approx(100)


def test_resamples_are_treated_one_by_one() -> None:
    sizes = np.stack([SIZES, SIZES[::-1], 2 * SIZES], axis=1)
    shares = np.stack([SHARES, SHARES[::-1], SHARES / 2], axis=1)
    found = curves.bytes_at(sizes, shares, np.array([0.65, 0.65, 0.65]))
    assert found[:2] == pytest.approx([at(0.65)] * 2)
    assert np.isnan(found[2])


def test_ratio_of_curves_that_do_not_reach_the_accuracy() -> None:
    theirs, ours = (
        np.array([300.0, 300.0, np.nan, np.nan]),
        np.array([100.0, np.nan, 100.0, np.nan]),
    )
    found = curves.ratio(theirs, ours)
    assert np.array_equal(found, [3.0, 0.0, np.nan, 0.0], equal_nan=True)
