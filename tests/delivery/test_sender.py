from random import Random

import pytest

from tactic_codec.packet import Kind, Packet
from tactic_delivery.ack import Ack
from tactic_delivery.allowance import Allowance, Budgets
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.errors import AckError
from tactic_delivery.limits import Limits
from tactic_delivery.ranges import Range
from tactic_delivery.receiver import Receiver
from tactic_delivery.sender import Sender

S = 1_000_000_000
BOOT = 0x2000


def entry(pkt: int, boot: int = BOOT, priority: int = 1, size_bytes: int = 100) -> Entry:
    return Entry(PacketKey(boot, pkt), Kind.FRAME, priority, size_bytes)


def make(count: int = 0, limits: Limits | None = None) -> Sender:
    sender = Sender(BOOT, Random(1), limits)
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    for pkt in range(count):
        sender.add(entry(pkt))
    return sender


def sent(sender: Sender, now_ns: int) -> list[int]:
    return [key.pkt for key in sender.poll(now_ns).send]


def test_nothing_is_sent_while_the_gateway_is_away() -> None:
    sender = Sender(BOOT, Random(1))
    sender.add(entry(0))
    assert sender.poll(0).send == ()
    sender.on_connection(True)
    assert sender.poll(0) == sender.poll(100 * S)
    sender.on_gateway(True, 0)
    assert sent(sender, 0) == [0]
    sender.on_gateway(False, 0)
    assert sender.poll(1000 * S).send == ()
    assert sender.poll(1000 * S).wake_ns is None


def test_first_credit_then_the_gateways_window_limit_what_is_on_its_way() -> None:
    sender = make(100)
    assert len(sent(sender, 0)) == Limits().first_credit
    sender.on_ack(Ack(BOOT, 4, 20), S)
    assert sent(sender, S) == list(range(4, 12))
    sender.on_ack(Ack(BOOT, 12, 14), S)
    assert len(sent(sender, S)) == 14
    sender.on_ack(Ack(BOOT, 26, 1000), S)
    assert len(sent(sender, S)) == 30
    sender.on_ack(Ack(BOOT, 56, 1000), S)
    assert len(sent(sender, S)) == 44
    sender.on_ack(Ack(BOOT, 100, 1000), S)
    for pkt in range(100, 200):
        sender.add(entry(pkt))
    assert len(sent(sender, S)) == Limits().window_packets


def test_the_window_in_bytes_never_stops_a_single_large_packet() -> None:
    sender = make(limits=Limits(window_bytes=250))
    sender.add(entry(0, size_bytes=900))
    for pkt in range(1, 4):
        sender.add(entry(pkt))
    assert sent(sender, 0) == [0]
    sender.on_ack(Ack(BOOT, 1, 8), 1)
    assert sent(sender, 1) == [1, 2]


def test_order_is_class_then_live_then_age() -> None:
    sender = Sender(BOOT, Random(1), Limits(first_credit=1))
    sender.add(entry(5, boot=BOOT - 0x1000))
    sender.add(entry(0))
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    sender.add(entry(1))
    sender.add(entry(2, priority=3))
    order = []
    for _ in range(4):
        (key,) = sender.poll(0).send
        order.append(key)
        sender.on_ack(Ack(key.boot, 0, 1, (Range(key.pkt, 1),) if key.pkt else ()), 0)
        if key.pkt == 0:
            sender.on_ack(Ack(key.boot, 1, 1), 0)
    assert order == [(BOOT, 2), (BOOT, 1), (BOOT - 0x1000, 5), (BOOT, 0)]
    assert len(sender) == 0


def test_unacknowledged_packets_are_sent_again_later_and_later() -> None:
    sender = make(1)
    now_ns, waits = 0, []
    assert sent(sender, 0) == [0]
    for _ in range(12):
        wake_ns = sender.poll(now_ns).wake_ns
        assert wake_ns is not None
        waits.append(wake_ns - now_ns)
        now_ns = wake_ns
        assert sent(sender, now_ns) == [0]
    assert 3 * S <= waits[0] <= 3.75 * S
    assert waits[4] > 4 * waits[0]
    assert max(waits) <= 150 * S
    assert sender.sent_again == 12


def test_time_outs_follow_the_round_trips() -> None:
    sender = make(50, Limits(first_credit=1))
    now_ns = 0
    for pkt in range(50):
        sent(sender, now_ns)
        now_ns += S // 50
        sender.on_ack(Ack(BOOT, pkt + 1, 1), now_ns)
    sender.add(entry(50))
    sent(sender, now_ns)
    wake_ns = sender.poll(now_ns).wake_ns
    assert wake_ns is not None
    assert wake_ns - now_ns < S


def test_a_closed_window_is_probed_with_one_packet() -> None:
    sender = make(20)
    sent(sender, 0)
    sender.on_ack(Ack(BOOT, 4, 0), 0)
    poll = sender.poll(0)
    assert poll.send == ()
    assert poll.wake_ns == Limits().probe_ns
    assert sent(sender, Limits().probe_ns) == [4]


def test_a_lost_connection_makes_everything_wait_again() -> None:
    sender = make(3)
    assert sent(sender, 0) == [0, 1, 2]
    sender.on_connection(False)
    sender.on_connection(True)
    assert sender.poll(0).send == ()
    sender.on_gateway(True, 0)
    assert sent(sender, 1) == [0, 1, 2]
    assert sender.sent_again == 3


def test_acks_name_each_settled_packet_once() -> None:
    sender = make(10)
    sent(sender, 0)
    assert sender.on_ack(Ack(BOOT, 2, 8, (Range(4, 2), Range(7, 1))), 1) == [(0, 2), (4, 2), (7, 1)]
    assert sender.on_ack(Ack(BOOT, 2, 8, (Range(4, 2), Range(7, 1))), 1) == []
    assert sender.on_ack(Ack(BOOT, 6, 8), 1) == [(2, 2)]
    assert sender.on_ack(Ack(BOOT, 3, 8), 1) == []
    assert len(sender) == 3


def test_an_ack_for_packets_that_do_not_exist_is_refused() -> None:
    sender = make(3)
    with pytest.raises(AckError, match="future"):
        sender.on_ack(Ack(BOOT, 4, 8), 1)
    with pytest.raises(AckError, match="future"):
        sender.on_ack(Ack(BOOT, 0, 8, (Range(0xFFFF_FFF0, 1),)), 1)
    assert sender.on_ack(Ack(77, 0xFFFF_FFFF, 8), 1) == []
    assert len(sender) == 3


def test_what_is_given_up_is_not_sent() -> None:
    sender = make(4)
    sender.forget([PacketKey(BOOT, 0), PacketKey(BOOT, 2), PacketKey(1, 1)])
    assert sent(sender, 0) == [1, 3]


def test_memory_stays_bounded_when_backlog_is_evicted_for_ever() -> None:
    sender = Sender(BOOT, Random(1))
    for pkt in range(5000):
        sender.add(entry(pkt))
        sender.forget([PacketKey(BOOT, pkt - 10)])
    assert len(sender) == 10
    assert len(sender._turns) < 200


def through_a_thin_link(bytes_per_s: int, delay_ns: int, seconds: int) -> tuple[Sender, int]:
    """Send frames of 600 bytes as fast as the sender likes over a link that loses nothing."""
    sender = Sender(BOOT, Random(4))
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    receiver = Receiver(BOOT)
    arrivals: list[tuple[int, int]] = []
    free_ns = stored = 0
    for pkt in range(2000):
        sender.add(entry(pkt, size_bytes=600))
    for now_ns in range(0, seconds * S, S // 20):
        while arrivals and arrivals[0][0] <= now_ns:
            packet = Packet(Kind.FRAME, BOOT, arrivals.pop(0)[1])
            stored += receiver.record(packet).new
            sender.on_ack(receiver.ack(1000), now_ns)
        for key in sender.poll(now_ns).send:
            free_ns = max(free_ns, now_ns) + 600 * S // bytes_per_s
            arrivals.append((free_ns + delay_ns, key.pkt))
    return sender, stored


@pytest.mark.parametrize(
    ("bytes_per_s", "delay_ns"),
    [(300, S), (1200, S // 10), (20_000, 600 * S // 1000), (100_000, 8 * S)],
)
def test_a_thin_or_slow_link_is_used_and_not_filled_with_copies(
    bytes_per_s: int, delay_ns: int
) -> None:
    sender, stored = through_a_thin_link(bytes_per_s, delay_ns, 200)
    assert sender.sent_again <= 0.05 * stored + 8
    window_bytes_per_s = 64 * 600 * S // (2 * delay_ns)
    assert stored * 600 >= 0.6 * 200 * min(bytes_per_s, window_bytes_per_s, 6000)


def test_on_a_slow_bearer_nothing_is_sent_again_for_as_long_as_it_takes() -> None:
    sender = make(1, Limits(first_timeout_ns=7200 * S, most_timeout_ns=7200 * S))
    assert sent(sender, 0) == [0]
    assert sent(sender, 7199 * S) == []
    assert sent(sender, 9001 * S) == [0]


def test_budgets_hold_back_all_but_alarms_repetitions_included() -> None:
    allowance = Allowance(Budgets(rate_bps=800, burst_s=3), lambda size: size)
    sender = Sender(BOOT, Random(1), Limits(), allowance)
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    for pkt in range(4):
        sender.add(entry(pkt))
    assert sent(sender, 0) == [0, 1, 2]
    wake_ns = sender.poll(0).wake_ns
    assert wake_ns == pytest.approx(S, abs=2)
    sender.add(entry(4, priority=3))
    assert sent(sender, S // 2) == [4]
    assert sent(sender, S) == []
    # Nothing was acknowledged: what is sent again is paid for too.
    again = [pkt for step in range(2, 60) for pkt in sent(sender, step * S)]
    assert 10 <= len(again) <= 60
    assert sender.sent_again >= 8


def test_an_alarm_of_the_backlog_passes_live_packets_that_have_to_wait() -> None:
    allowance = Allowance(Budgets(rate_bps=8, burst_s=1), lambda size: size)
    sender = Sender(BOOT, Random(1), Limits(), allowance)
    sender.add(entry(0, priority=3))
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    allowance.take(0, 500)
    sender.add(entry(1))
    assert sent(sender, 0) == [0]


def test_a_time_out_waits_until_answers_are_said() -> None:
    """A packet each tenth of a second, an acknowledgement each second of all but the last two."""
    sender = make(limits=Limits(first_credit=64))
    for tenth in range(600):
        now_ns = tenth * S // 10
        sender.add(entry(tenth))
        assert sent(sender, now_ns) == [tenth]
        if tenth % 10 == 9:
            sender.on_ack(Ack(BOOT, tenth - 1, 64), now_ns)
    assert not sender.sent_again
