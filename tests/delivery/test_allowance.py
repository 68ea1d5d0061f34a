"""Budgets hold in every window, wherever it lies, and cost little of what they allow."""

from __future__ import annotations

from random import Random

import pytest

from tactic_delivery.allowance import DAY_NS, HOUR_NS, Allowance, Budgets
from tactic_delivery.budgets import S, SlidingBudget, TokenBucket

Sent = list[tuple[int, int]]


def most_in_a_window(sent: Sent, window_ns: int) -> int:
    """The largest sum of any window; ``sent`` has moment and amount."""
    most = total = first = 0
    for moment, amount in sent:
        total += amount
        while sent[first][0] <= moment - window_ns:
            total -= sent[first][1]
            first += 1
        most = max(most, total)
    return most


def airtime(size_bytes: int) -> int:
    """Of a radio of 1.2 kbit/s with a preamble of 50 ms."""
    return 50_000_000 + 8 * size_bytes * S // 1200


def on_air(sent: Sent, start_ns: int, window_ns: int) -> int:
    """Airtime within a window; ``sent`` has begin and length."""
    end_ns = start_ns + window_ns
    return sum(max(0, min(end_ns, t + d) - max(start_ns, t)) for t, d in sent)


@pytest.mark.parametrize("seed", range(10))
def test_no_window_holds_more_than_the_budget_and_a_busy_one_nearly_all(seed: int) -> None:
    rng = Random(seed)
    budget = SlidingBudget(10_000, 100 * S)
    now_ns, sent = 0, Sent()
    while now_ns < 2000 * S:
        now_ns += rng.choice([0, 1, rng.randrange(S), rng.randrange(30 * S)])
        amount = rng.randrange(1, 900)
        found = budget.earliest_ns(now_ns, amount)
        assert found is not None
        if rng.random() < 0.7:
            now_ns = found
        elif found > now_ns:
            continue
        assert budget.left(now_ns) >= amount
        budget.take(now_ns, amount)
        sent.append((now_ns, amount))
    assert 9_000 < most_in_a_window(sent, 100 * S) <= 10_000


def test_what_is_larger_than_a_budget_never_goes() -> None:
    budget = SlidingBudget(100, S)
    assert budget.earliest_ns(0, 101) is None
    assert budget.earliest_ns(0, 95, kept=10) is None
    assert budget.earliest_ns(0, 90, kept=10) == 0


def test_a_bucket_saves_up_to_its_depth_and_may_be_overdrawn() -> None:
    bucket = TokenBucket(100.0, 500.0)
    bucket.take(0, 700)
    assert bucket.left(0) == -200
    assert bucket.earliest_ns(0, 100) == pytest.approx(3 * S, abs=2)
    assert bucket.left(1000 * S) == 500
    assert bucket.earliest_ns(1000 * S, 10_000) == 1000 * S


@pytest.mark.parametrize("seed", range(5))
def test_the_duty_cycle_holds_on_air_in_any_hour_although_packets_wait(seed: int) -> None:
    """Alarms included; each packet goes on air up to the delay after it was booked."""
    rng, delay_ns = Random(seed), 20 * S
    allowance = Allowance(Budgets(duty_cycle=0.01), airtime, delay_ns)
    now_ns, free_ns, sent = 0, 0, Sent()
    while now_ns < 4 * HOUR_NS:
        size_bytes, alarm = rng.randrange(20, 250), rng.random() < 0.3
        found = allowance.earliest_ns(now_ns, size_bytes, alarm)
        assert found is not None
        now_ns = max(found, now_ns + rng.randrange(2 * S))
        if allowance.earliest_ns(now_ns, size_bytes, alarm) != now_ns:
            continue
        allowance.take(now_ns, size_bytes)
        begin_ns = max(free_ns, now_ns + rng.randrange(delay_ns - airtime(size_bytes)))
        free_ns = begin_ns + airtime(size_bytes)
        sent.append((begin_ns, airtime(size_bytes)))
    edges = [t for t, _ in sent] + [t + d - HOUR_NS for t, d in sent]
    most = max(on_air(sent, edge, HOUR_NS) for edge in edges)
    assert 0.8 * 36 * S < most <= 36 * S


def test_five_times_what_a_day_allows_leaves_alarms_and_no_byte_over() -> None:
    """50 MB a day; ten times a packet a second, one in fifty an alarm."""
    rng = Random(1)
    allowance = Allowance(Budgets(day_bytes=50_000_000, overhead_bytes=50), airtime)
    sent, refused_alarms = Sent(), 0
    for step in range(2 * 86_400):
        now_ns, size_bytes, alarm = step * S, rng.randrange(1_000, 4_800), rng.random() < 0.02
        if alarm or allowance.earliest_ns(now_ns, size_bytes, alarm) == now_ns:
            refused_alarms += allowance.earliest_ns(now_ns, size_bytes, alarm) != now_ns
            allowance.take(now_ns, size_bytes)
            sent.append((now_ns, size_bytes + 50))
    assert refused_alarms == 0
    assert 45_000_000 < most_in_a_window(sent, DAY_NS) <= 50_000_000


def test_alarms_overdraw_bytes_and_money_but_not_the_duty_cycle() -> None:
    budgets = Budgets(rate_bps=800, day_bytes=10_000, day_usd=1, usd_per_mb=10)
    allowance = Allowance(budgets, airtime)
    for _ in range(30):
        assert allowance.earliest_ns(0, 1000, alarm=True) == 0
        allowance.take(0, 1000)
    blocked_ns = allowance.earliest_ns(0, 1000, alarm=False)
    assert blocked_ns is not None
    assert blocked_ns >= DAY_NS
    lawful = Allowance(Budgets(duty_cycle=0.01), airtime)
    while lawful.earliest_ns(0, 200, alarm=True) == 0:
        lawful.take(0, 200)
    assert lawful.earliest_ns(0, 200, alarm=True) != 0


def test_money_is_bytes_and_messages() -> None:
    allowance = Allowance(Budgets(day_usd=1.0, usd_per_mb=5, usd_per_message=0.01), airtime)
    count = 0
    while allowance.earliest_ns(0, 1000, alarm=False) == 0:
        allowance.take(0, 1000)
        count += 1
    assert count == pytest.approx(0.9 / 0.015, abs=2)
    rate = allowance.bytes_a_second(1000)
    assert rate == pytest.approx(0.9 / 0.015 * 1000 / 86_400, rel=0.01)


def test_without_budgets_everything_goes() -> None:
    allowance = Allowance(Budgets(), airtime)
    assert allowance.earliest_ns(7, 10**9, alarm=False) == 7
    assert allowance.bytes_a_second(1000) is None
