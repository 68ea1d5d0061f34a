"""Which frames a gateway asks for: the unsure ones, within a budget, and no longer than it pays."""

from __future__ import annotations

from random import Random

from tactic_codec.types import FrameKey
from tactic_delivery.refinement import MOST_IN_REQUEST, MOST_OPEN, Policy, Refinement, Request

S = 1_000_000_000


def key(seq: int, node: str = "cam1", boot: int = 7) -> FrameKey:
    return FrameKey(node, boot, seq)


def test_only_cut_frames_below_the_threshold_are_asked_for_together() -> None:
    state = Refinement(Policy(0.5, gather_ns=S))
    for seq, (score, cut) in enumerate([(0.4, True), (0.5, True), (0.1, False), (0.2, True)]):
        state.first(key(seq), score, 300, cut, 0)
    state.first(key(4), 0.3, 300, True, S // 2)
    assert state.poll(S - 1) == []
    assert state.poll(S) == [Request("cam1", 7, (0, 3))]
    assert state.poll(2 * S) == [Request("cam1", 7, (4,))]
    assert state.poll(3 * S) == []


def test_what_does_not_come_is_asked_for_again_and_then_given_up() -> None:
    state = Refinement(Policy(0.5, gather_ns=0, repeat_ns=20 * S, deadline_ns=60 * S))
    state.first(key(1), 0.1, 300, True, 0)
    asked = [second for second in range(100) if state.poll(second * S)]
    assert asked == [0, 20, 40]
    assert (state.given_up, len(state)) == (1, 0)
    state.refined(key(1), 900)  # too late: it changes nothing
    assert len(state) == 0


def test_what_came_is_not_asked_for_again() -> None:
    state = Refinement(Policy(0.5, gather_ns=0))
    state.first(key(1), 0.1, 300, True, 0)
    assert state.poll(0)
    state.refined(key(1), 900)
    assert [state.poll(second * S) for second in range(100)] == [[]] * 100
    assert state.given_up == 0


def test_each_boot_has_its_own_requests_and_none_names_too_many() -> None:
    state = Refinement(Policy(0.5, gather_ns=0))
    for seq in range(MOST_IN_REQUEST + 5):
        state.first(key(seq), 0.1, 300, True, 0)
    state.first(key(0, boot=8), 0.1, 300, True, 0)
    state.first(key(0, node="cam2"), 0.1, 300, True, 0)
    found = state.poll(0)
    assert [(each.node, each.boot, len(each.frames)) for each in found] == [
        ("cam1", 7, MOST_IN_REQUEST),
        ("cam1", 7, 5),
        ("cam1", 8, 1),
        ("cam2", 7, 1),
    ]


def test_it_is_bounded() -> None:
    state = Refinement(Policy(0.5))
    for seq in range(MOST_OPEN + 100):
        state.first(key(seq), 0.1, 300, True, 0)
    assert len(state) == MOST_OPEN


def test_mean_bytes_stay_within_the_budget_and_the_least_sure_come_first() -> None:
    rng = Random(1)
    budget_bytes, part_bytes = 450.0, 600
    state = Refinement(Policy(0.9, budget_bytes, gather_ns=0))
    total, asked, scores = 0, 0, {}
    for seq in range(3000):
        scores[seq] = rng.random()
        state.first(key(seq), scores[seq], 300, True, seq * S)
        total += 300
        if seq % 16 == 15:
            for request in state.poll(seq * S):
                for frame in request.frames:
                    state.refined(key(frame), 300 + part_bytes)
                    total += part_bytes
                    asked += 1
    # A quarter of them can be paid for.
    assert 0.95 * budget_bytes <= total / 3000 <= 1.02 * budget_bytes
    assert 0.2 < asked / 3000 < 0.27


def test_a_node_that_has_nothing_left_is_asked_less_and_less() -> None:
    state = Refinement(Policy(0.9, 400.0, gather_ns=0, repeat_ns=100 * S, deadline_ns=60 * S))
    asked = [0, 0]
    for seq in range(2000):
        state.first(key(seq), 0.1, 300, True, seq * S)
        asked[seq // 1000] += sum(len(each.frames) for each in state.poll(seq * S))
    assert asked[1] <= 300
