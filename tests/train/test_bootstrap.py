"""Draws of pictures, and intervals against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tactic_train import bootstrap


def test_weights_are_resamples_of_the_pictures() -> None:
    share = bootstrap.weights(50)
    assert share.shape == (50, bootstrap.RESAMPLES)
    assert share.sum(axis=0) == pytest.approx(np.ones(bootstrap.RESAMPLES))
    assert np.array_equal(share, bootstrap.weights(50))
    assert np.allclose(share * 50, np.rint(share * 50))


def test_interval_of_a_share() -> None:
    """The normal approximation of a binomial share, to a percentage point."""
    right = np.arange(400) < 240
    low, high = bootstrap.interval(right @ bootstrap.weights(400)) or (0, 0)
    spread = 1.96 * np.sqrt(0.6 * 0.4 / 400)
    assert (low, high) == pytest.approx((0.6 - spread, 0.6 + spread), abs=0.01)


def test_interval_of_what_is_mostly_unknown() -> None:
    values = np.arange(100.0)
    values[:4] = np.nan
    assert bootstrap.interval(values) == pytest.approx([6.375, 96.625])
    values[:6] = np.nan
    assert bootstrap.interval(values) is None
