"""What a node concludes of a gateway that only answers; and how little it says into silence."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tactic_device.presence import JITTER, SILENCE, Presence

S = 1_000_000_000
FIRST, MOST, DAY = 30 * S, 3600 * S, 86_400 * S


def into_silence(presence: Presence, until_ns: int) -> tuple[list[int], list[int]]:
    """When packets and empty datagrams are sent by a node that always has something to send."""
    packets, polls = [], []
    now_ns = 0
    while now_ns < until_ns:
        presence.falls_silent(now_ns)
        if presence.may_ask(now_ns):
            packets.append(now_ns)
            presence.sent(now_ns)
        if presence.may_poll(now_ns):
            polls.append(now_ns)
            presence.polled(now_ns)
        wake_ns = presence.wake_ns()
        assert wake_ns is not None and wake_ns > now_ns, "it neither sleeps for ever nor spins"
        now_ns = wake_ns
    return packets, polls


@given(st.randoms(use_true_random=False), st.integers(0, 600))
def test_into_silence_goes_little_and_ever_more_rarely(rng: Random, poll_s: int) -> None:
    packets, polls = into_silence(Presence(rng, FIRST, MOST, poll_s * S), DAY)
    # 30 s, 1, 2, 4 … 32 minutes, and then an hour each time, or a little more.
    assert 20 <= len(packets) <= 7 + 24
    waits = [b - a for a, b in pairwise(packets)]
    assert all(FIRST <= wait <= MOST * (1 + JITTER) for wait in waits)
    assert waits[0] <= 2 * FIRST and waits[-1] >= MOST
    assert len(polls) <= 12 * len(packets)
    assert bool(polls) is bool(poll_s)


def test_it_is_there_while_it_answers() -> None:
    presence = Presence(Random(1), FIRST, MOST)
    assert presence.may_ask(0) and not presence.here
    presence.sent(0)
    assert not presence.may_ask(FIRST - 1)
    assert presence.heard()
    assert not presence.heard(), "that is no news"
    assert presence.here and presence.wake_ns() is None, "who has nothing to send waits for ever"
    presence.sent(100 * S)
    presence.sent(110 * S)
    end_ns = 100 * S + SILENCE * FIRST
    assert presence.wake_ns() == end_ns
    assert not presence.falls_silent(end_ns - 1) and presence.here
    assert presence.falls_silent(end_ns) and not presence.here
    assert not presence.falls_silent(end_ns), "that is said once"
    assert not presence.may_ask(end_ns), "it has just not answered"
    assert presence.may_ask(end_ns + 2 * FIRST)


def test_an_answer_ends_the_wait() -> None:
    presence = Presence(Random(1), FIRST, MOST, poll_ns=S)
    for hour in range(5):
        presence.sent(hour * 3600 * S)
    assert presence.heard()
    presence.sent(DAY)
    assert presence.falls_silent(DAY + SILENCE * FIRST)
    assert presence.may_ask(DAY + SILENCE * FIRST + 2 * FIRST), "begins anew with short waits"
