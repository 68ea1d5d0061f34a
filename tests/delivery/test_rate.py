"""Rate control: first coarser, then fewer frames; alarms always; what waits and contacts count."""

from __future__ import annotations

from random import Random

import pytest

from tactic_delivery.allowance import Allowance, Budgets
from tactic_delivery.budgets import S
from tactic_delivery.rate import Choice, RateControl
from tactic_delivery.schedule import Contact, Schedule

LEVELS = (0, 1, 2, 3)
SIZES = {0: 3000, 1: 2000, 2: 1200, 3: 700}


def allowed(rate_bytes_s: float) -> Allowance:
    return Allowance(Budgets(rate_bps=8 * rate_bytes_s, burst_s=60), lambda size: size)


def drive(
    control: RateControl, count: int, period_s: float = 1.0, backlog_bytes: int = 0
) -> list[Choice | None]:
    """Offer frames of about the sizes of their levels; return the choices."""
    rng, found = Random(1), list[Choice | None]()
    for step in range(count):
        now_ns = int(step * period_s * S)
        choice = control.choose(now_ns, 1, backlog_bytes)
        found.append(choice)
        if choice:
            size = round(SIZES[choice.level] * rng.uniform(0.8, 1.2))
            whole = choice.budget_bytes is None or size <= choice.budget_bytes
            sent = size if choice.budget_bytes is None else min(size, choice.budget_bytes)
            control.note(now_ns, choice.level, sent, whole)
    return found


def sent_bytes(choices: list[Choice | None]) -> int:
    return sum(SIZES[c.level] for c in choices if c)


def test_without_budgets_every_frame_goes_at_the_finest_level() -> None:
    control = RateControl(LEVELS, Allowance(Budgets(), lambda size: size), most_bytes=1400)
    assert set(drive(control, 50)) == {Choice(0, 1400)}


@pytest.mark.parametrize(("rate", "level"), [(5000, 0), (2400, 1), (1500, 2), (800, 3)])
def test_a_budget_chooses_the_finest_level_that_all_frames_can_have(rate: int, level: int) -> None:
    late = drive(RateControl(LEVELS, allowed(rate)), 400)[100:]
    assert sum(c is not None and c.level in (level, level - 1) for c in late) > 0.95 * len(late)
    assert sum(c is not None and c.level == level for c in late) >= 0.5 * len(late)
    assert sent_bytes(late) >= 0.9 * min(rate, SIZES[0]) * len(late)


def test_below_the_coarsest_level_frames_are_skipped_and_the_budget_is_used() -> None:
    choices = drive(RateControl(LEVELS, allowed(140)), 2000)
    late = choices[500:]
    assert {c.level for c in late if c} == {3}
    assert sent_bytes(late) == pytest.approx(140 * 1500, rel=0.1)
    assert all(c.budget_bytes and c.budget_bytes >= 500 for c in late if c)


def test_alarms_always_go_and_others_pay_for_them() -> None:
    control = RateControl(LEVELS, allowed(700), most_bytes=4000)
    sent = {1: 0, 3: 0}
    for step in range(1000):
        now_ns, priority = step * S, 3 if step % 10 == 0 else 1
        choice = control.choose(now_ns, priority, 0)
        if priority == 3:
            assert choice == Choice(0, 4000)
        if choice:
            control.note(now_ns, choice.level, SIZES[choice.level])
            sent[priority] += SIZES[choice.level]
    assert sent[3] == 100 * 3000
    assert sum(sent.values()) == pytest.approx(700 * 1000, rel=0.05)


def test_what_waits_is_paid_for_first_but_does_not_stop_the_camera() -> None:
    idle = sent_bytes(drive(RateControl(LEVELS, allowed(1000)), 600))
    some = sent_bytes(drive(RateControl(LEVELS, allowed(1000)), 600, backlog_bytes=1_000_000))
    much = sent_bytes(drive(RateControl(LEVELS, allowed(1000)), 600, backlog_bytes=10**9))
    assert 0.45 * idle < much < 0.6 * idle < some < 0.8 * idle


def test_a_schedule_says_what_the_contacts_carry_beside_what_waits() -> None:
    day_s = 24 * 3600
    passes = [Contact(t * S, (t + 600) * S, 9600.0) for t in range(3600, day_s, 6 * 3600)]
    schedule = Schedule(passes)
    capacity = schedule.capacity_bytes(0, day_s * S)
    assert capacity == 4 * 600 * 1200
    free = Allowance(Budgets(), lambda size: size)
    control, waiting, captured = RateControl(LEVELS, free, schedule), 0.0, 0
    for step in range(schedule.end_ns // (30 * S)):
        now_ns = step * 30 * S
        waiting = max(0.0, waiting - schedule.capacity_bytes(now_ns - 30 * S, now_ns))
        if choice := control.choose(now_ns, 1, int(waiting)):
            control.note(now_ns, choice.level, SIZES[choice.level])
            waiting += SIZES[choice.level]
            captured += SIZES[choice.level]
    assert 0.8 * capacity < captured <= capacity
    full = drive(RateControl(LEVELS, free, schedule), 100, 30.0, backlog_bytes=int(capacity))
    assert sum(c is not None for c in full) <= 10
    assert schedule.capacity_bytes(3700 * S, 3800 * S) == 100 * 1200
    after = RateControl(LEVELS, free, Schedule(passes[:1]))
    assert after.choose(day_s * S, 1, 0) == Choice(0, None)


@pytest.mark.parametrize("times", [[(0, 0)], [(5, 9), (0, 6)]])
def test_contacts_are_times_one_after_the_other(times: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="empty or overlaps"):
        Schedule([Contact(start * S, end * S, 1.0) for start, end in times])
