"""Who goes first: live packets and backlog, and how much of each may be on its way."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec.packet import Kind
from tactic_delivery.ack import Ack
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.limits import Limits
from tactic_delivery.sender import Sender
from tactic_delivery.window import Pace, Window

S = 1_000_000_000
MS = S // 1000
OLD, BOOT = 0x1000, 0x2000


def entry(pkt: int, boot: int = BOOT, priority: int = 1, size_bytes: int = 100) -> Entry:
    return Entry(PacketKey(boot, pkt), Kind.FRAME, priority, size_bytes)


def make(share: float, live: list[int], backlog: list[int]) -> Sender:
    """A sender that may send everything at once; the lists are sizes in bytes."""
    room = len(live) + len(backlog)
    limits = Limits(room, 1 << 30, first_credit=room, live_share=share)
    sender = Sender(BOOT, Random(1), limits)
    for pkt, size_bytes in enumerate(backlog):
        sender.add(entry(pkt, OLD, size_bytes=size_bytes))
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    for pkt, size_bytes in enumerate(live):
        sender.add(entry(pkt, size_bytes=size_bytes))
    return sender


sizes = st.lists(st.integers(30, 2000), min_size=1, max_size=60)


@given(st.floats(0.05, 0.95), sizes, sizes)
def test_while_both_wait_the_share_of_live_bytes_is_kept_and_neither_starves(
    share: float, live: list[int], backlog: list[int]
) -> None:
    sender = make(share, live, backlog)
    sizes = {OLD: backlog, BOOT: live}
    sent = {OLD: 0, BOOT: 0}
    left = {OLD: len(backlog), BOOT: len(live)}
    for key in sender.poll(0).send:
        sent[key.boot] += sizes[key.boot][key.pkt]
        left[key.boot] -= 1
        if all(left.values()):
            # a rounding of floats is no breach
            assert sent[BOOT] >= share * sum(sent.values()) - 1e-6
            earned = sent[BOOT] * (1 - share) / share - sent[OLD]
            assert earned < max(backlog) + max(live) / share
    assert left == {OLD: 0, BOOT: 0}


def test_backlog_alone_and_live_alone_have_everything() -> None:
    assert len(make(0.9, [], [100] * 40).poll(0).send) == 40
    assert len(make(0.1, [100] * 40, []).poll(0).send) == 40


def test_within_each_the_order_is_class_then_age() -> None:
    limits = Limits(16, first_credit=16, live_share=0.5)
    sender = Sender(BOOT, Random(1), limits)
    for pkt, priority in enumerate((0, 3, 1, 3)):
        sender.add(entry(pkt, OLD, priority))
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    for pkt, priority in enumerate((1, 0, 2)):
        sender.add(entry(pkt, BOOT, priority))
    send = sender.poll(0).send
    assert [key.pkt for key in send if key.boot == BOOT] == [2, 0, 1]
    assert [key.pkt for key in send if key.boot == OLD] == [1, 3, 2, 0]
    assert [key.boot for key in send][:4] == [BOOT, OLD, BOOT, OLD]


def test_nodes_do_not_all_begin_at_once_when_a_gateway_returns() -> None:
    starts = []
    for seed in range(40):
        sender = Sender(BOOT, Random(seed), Limits(start_within_ns=2 * S))
        sender.add(entry(0))
        sender.on_connection(True)
        sender.on_gateway(True, 10 * S)
        wake_ns = sender.poll(10 * S).wake_ns
        assert wake_ns is not None
        assert sender.poll(wake_ns - 1).send == ()
        assert len(sender.poll(wake_ns).send) == 1
        starts.append((wake_ns - 10 * S) / S)
    assert 0 <= min(starts) < 0.3
    assert 1.7 < max(starts) < 2
    assert 0.6 < sum(starts) / 40 < 1.4


def test_what_could_not_be_read_is_not_sent_and_holds_up_no_live_packet() -> None:
    sender = make(0.75, [100], [100, 100])
    sent = sender.poll(0).send
    assert set(sent) == {(BOOT, 0), (OLD, 0), (OLD, 1)}
    sender.put_back(PacketKey(OLD, 0), 5 * S)
    sender.put_back(PacketKey(OLD, 1), 5 * S)
    assert sender.sent_again == 0
    sender.add(entry(1))
    poll = sender.poll(MS)
    assert poll.send == (PacketKey(BOOT, 1),)
    sender.on_ack(Ack(BOOT, 2, 8), 2 * MS)
    assert sender.poll(2 * MS) == sender.poll(S)
    assert sender.poll(S).wake_ns == 5 * S
    assert sender.poll(5 * S).send == ((OLD, 0), (OLD, 1))
    assert sender.sent_again == 0


def test_pace_fills_the_link_but_not_the_queue_before_it() -> None:
    """A link of 10 packets a second, 300 ms long: three packets fill it."""
    pace, now_ns, highest = Pace(4, 64), 0, 0
    pace.sample(400 * MS, True, 0, now_ns)
    for _ in range(300):
        queue_ns = max(0, pace.packets - 3) * 100 * MS
        now_ns += 400 * MS + queue_ns
        pace.sample(400 * MS + queue_ns, False, pace.packets, now_ns)
        highest = max(highest, pace.packets) if now_ns > 40 * S else 0
    assert 2 <= pace.packets <= highest <= 6


def test_pace_takes_commits_for_no_queue() -> None:
    """The gateway commits every 17 ms what came meanwhile: the first waits once, others twice."""
    pace, now_ns = Pace(4, 64), 0
    pace.sample(17 * MS, True, 1, now_ns)
    for _ in range(300):
        now_ns += 17 * MS
        pace.sample(34 * MS, False, pace.packets, now_ns)
    assert pace.packets == 64


@pytest.mark.parametrize("slower", [1, 3, 20])
def test_pace_learns_that_the_path_is_another_one(slower: int) -> None:
    pace, now_ns = Pace(4, 64), 0
    for _ in range(100):
        now_ns += slower * 50 * MS
        alone = pace.packets == 1
        pace.sample((slower if now_ns > S else 1) * 50 * MS, alone, pace.packets, now_ns)
    assert pace.packets > 4


def test_the_window_doubles_then_creeps_and_halves() -> None:
    window = Window(4, 64)
    window.grow(4)
    assert window.packets == 8
    window.halve()
    assert window.packets == 4
    window.grow(4)
    assert window.packets == 5
    window.restart()
    assert window.packets == 4
    for _ in range(10):
        window.halve()
    assert window.packets == 1


def test_of_small_packets_as_many_as_begin_within_so_many_bytes_may_always_go() -> None:
    sender = Sender(BOOT, Random(1), Limits(first_credit=1, least_bytes=1000))
    for pkt in range(30):
        sender.add(entry(pkt, OLD))
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    assert len(sender.poll(0).send) == 1, "nobody has answered yet"
    sender.on_ack(Ack(OLD, 1, 64), S)
    assert len(sender.poll(S).send) == 10
    sender.add(entry(0))
    assert len(sender.poll(S).send) == 0, "they fill the link"
    sender.on_ack(Ack(OLD, 3, 9), 2 * S)
    assert [key.boot for key in sender.poll(2 * S).send] == [BOOT], "the gateway allows no more"
