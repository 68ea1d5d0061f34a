"""How far answers are from others, and when a node is told."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec.types import FrameKey
from tactic_delivery.margins import LEAST, MOST, REPEAT_NS, Margins, margin, octave

S = 1_000_000_000


@pytest.mark.parametrize(
    ("scores", "limit", "ratio"),
    [
        ([0.1, 0.05], 0.3, 3),  # no answer: up to the limit
        ([0.6, 0.01], 0.3, 2),  # an answer: down to the limit ...
        ([0.6, 0.4], 0.3, 1.5),  # ... or to the second class, whichever is nearer
        ([0.6, 0.4], 0.0, 1.5),
        ([0.3, 0.3], 0.0, 1),
        ([0.75], 0.0, 3),  # the second has what is left at the most
        ([0.4], 0.2, 1),
    ],
)
def test_a_margin_is_the_log_of_the_nearest_ratio(
    scores: list[float], limit: float, ratio: float
) -> None:
    assert margin(scores, limit) == pytest.approx(math.log(ratio), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(0, 0.99))
def test_a_margin_is_never_negative_nor_without_end(scores: list[float], limit: float) -> None:
    found = margin(sorted(scores, reverse=True), limit)
    assert 0.0 <= found < 100.0
    assert LEAST <= octave(found) <= MOST


def test_octaves_are_few() -> None:
    found = {octave(step / 100) for step in range(1000)}
    assert sorted(found) == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6])


def frame(seq: int, boot: int = 7) -> FrameKey:
    return FrameKey("cam1", boot, seq)


def test_a_node_is_told_when_its_margin_has_changed_a_good_deal() -> None:
    margins = Margins()
    assert margins.answered(frame(0), 0.4, 0) == pytest.approx(0.4)
    assert margins.answered(frame(1), 0.45, S) is None
    assert margins.answered(frame(2), 0.1, S) == pytest.approx(0.1)
    assert margins.answered(FrameKey("cam2", 7, 0), 0.1, S) == pytest.approx(0.1)


def test_old_frames_tell_nothing_and_a_new_run_begins_anew() -> None:
    margins = Margins()
    margins.answered(frame(5), 0.4, 0)
    assert margins.answered(frame(4), 0.1, S) is None
    assert margins.answered(frame(0, boot=8), 0.4, S) == pytest.approx(0.4)


def test_what_may_have_been_lost_is_said_again() -> None:
    margins = Margins()
    margins.answered(frame(0), 0.4, 0)
    assert margins.answered(frame(1), 0.4, REPEAT_NS - 1) is None
    assert margins.answered(frame(2), 0.4, REPEAT_NS) == pytest.approx(0.4)
    assert margins.answered(frame(3), 0.4, REPEAT_NS + 1) is None
