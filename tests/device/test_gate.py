"""The change gate: what it counts as change, and what it makes of what it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_delivery.margins import HOLDS_NS, LEAST, MOST
from tactic_device.gate import UNTOLD, Gate, change

S = 1_000_000_000
STILL = np.zeros((2, 3, 4), np.int8)


def moved(steps: int) -> NDArray[np.int8]:
    """A latent whose every place is so many steps from `STILL`."""
    other = STILL.copy()
    other[0] = steps
    return other


def gate(threshold: float = 10.0) -> Gate:
    made = Gate(threshold, 60 * S)
    made.note(STILL, 0)
    return made


def test_change_is_the_mean_distance_of_a_place() -> None:
    other = STILL.copy()
    other[:, 0, 0] = -127
    assert change(other, STILL) == change(STILL, other)
    assert change(other, STILL) == pytest.approx(2**0.5 * 127 / 12, abs=1 / 16 / 12)
    assert change(moved(-5), STILL) == 5.0
    assert change(STILL, STILL) == 0.0


def test_change_of_the_largest_latents_does_not_overflow() -> None:
    low, high = np.full((64, 2, 2), -128, np.int8), np.full((64, 2, 2), 127, np.int8)
    assert change(low, high) == 255 * 8


def test_a_change_of_many_channels_at_a_place_is_less_than_the_same_at_many_places() -> None:
    here, everywhere = np.zeros((12, 3, 4), np.int8), np.zeros((12, 3, 4), np.int8)
    here[:, 1, 1] = 8
    everywhere[0] = 8
    still = np.zeros((12, 3, 4), np.int8)
    assert change(here, still) < change(everywhere, still)


@pytest.mark.parametrize(
    ("margin", "counts_as"), [(0.0, LEAST), (0.1, 0.1), (1.0, 1.0), (50.0, MOST)]
)
def test_the_nearer_an_answer_is_to_another_the_less_has_to_change(
    margin: float, counts_as: float
) -> None:
    told = gate(40.0)
    told.told(margin, 0)
    least = round(40.0 * counts_as)
    assert told.opens(moved(least), S)
    assert not told.opens(moved(least - 1), S)


def test_what_was_told_long_ago_does_not_count() -> None:
    told = gate()
    assert told.opens(moved(round(10 * UNTOLD)), S)
    told.told(1.0, 0)
    assert not told.opens(moved(9), S)
    old = Gate(10.0, HOLDS_NS * 2)
    old.note(STILL, 0)
    old.told(1.0, 0)
    assert not old.opens(moved(9), HOLDS_NS - 1)
    assert old.opens(moved(9), HOLDS_NS)


def test_frames_of_another_size_are_sent() -> None:
    assert gate().opens(np.zeros((2, 1, 1), np.int8), 1)


def test_slow_drift_is_sent_when_it_has_added_up() -> None:
    drifting = gate()
    drifting.told(1.0, 0)
    sent = []
    for number in range(1, 31):
        if drifting.opens(moved(number), number):
            drifting.note(moved(number), number)
            sent.append(number)
    assert sent == [10, 20, 30]


def test_whole_numbers_are_near_the_distance_of_real_latents() -> None:
    found = np.load(Path(__file__).parents[2] / "bundles/photo1000/probe/latents.npy")
    latents = found.reshape(-1, *found.shape[-3:])[:2]
    whole = [change(one, other) for one in latents for other in latents]
    wide = latents.astype(np.float64)
    exact = [np.sqrt(((one - other) ** 2).sum(axis=0)).mean() for one in wide for other in wide]
    np.testing.assert_allclose(whole, exact, atol=1 / 16)
    assert all(found <= wanted for found, wanted in zip(whole, exact, strict=True))
