"""Budgets hold in every sliding window, and nothing is held back without need."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tactic_link.airtime import AirtimeBudget

AIRTIME, WINDOW = 36, 3600
wishes = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 36)), max_size=25)


def sent_within(sent: list[tuple[int, int]], start: int, end: int) -> int:
    return sum(max(0, min(b, end) - max(a, start)) for a, b in sent)


def most_in_any_window(sent: list[tuple[int, int]]) -> int:
    edges = [edge for pair in sent for edge in pair]
    starts = [*edges, *(edge - WINDOW for edge in edges)]
    return max((sent_within(sent, start, start + WINDOW) for start in starts), default=0)


@settings(deadline=None)
@given(wishes)
def test_no_sliding_window_holds_more_than_the_budget(drawn: list[tuple[int, int]]) -> None:
    budget = AirtimeBudget(AIRTIME, WINDOW)
    sent: list[tuple[int, int]] = []
    now = 0
    for pause, length in drawn:
        now += pause
        start = budget.earliest_ns(now, length)
        assert start is not None
        assert start >= now
        budget.take(start, length)
        sent.append((start, start + length))
        now = start + length
    assert most_in_any_window(sent) <= AIRTIME
    assert all(a[1] <= b[0] for a, b in pairwise(sent))


@settings(deadline=None)
@given(wishes)
def test_one_moment_earlier_would_be_too_much(drawn: list[tuple[int, int]]) -> None:
    budget = AirtimeBudget(AIRTIME, WINDOW)
    sent: list[tuple[int, int]] = []
    now = 0
    for pause, length in drawn:
        now += pause
        start = budget.earliest_ns(now, length)
        assert start is not None
        if start > now:
            earlier = [*sent, (start - 1, start - 1 + length)]
            assert most_in_any_window(earlier) > AIRTIME
        budget.take(start, length)
        sent.append((start, start + length))
        now = start + length


def test_what_is_longer_than_the_budget_is_never_sent() -> None:
    assert AirtimeBudget(AIRTIME, WINDOW).earliest_ns(0, 37) is None
