"""Three days without a gateway, in virtual time: what is dropped, and what live frames feel."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from tactic_codec.drop import Reason
from tactic_codec.packet import Kind, Packet
from tactic_delivery.drops import Drop
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.limits import Limits
from tactic_delivery.pending import Pending
from tactic_delivery.receiver import Receiver
from tactic_delivery.sender import Sender

S = 1_000_000_000
HOUR = 3600
BOOT = 0x1ABC
CAP_BYTES = 64 << 20
ALARM = 3
CLASSES = (0, 0, 0, 0, 0, 0, 1, 1, 1, ALARM)


class Link:
    """A path of one speed with a queue before it; both ways may lose and delay."""

    def __init__(self, rng: Random, bytes_per_s: int, delay_s: float, jitter_s: float, loss: float):
        self._rng = rng
        self._bytes_per_s = bytes_per_s
        self._delay_ns = int(delay_s * S)
        self._jitter_ns = int(jitter_s * S)
        self._loss = loss
        self._free_ns = 0

    def up(self, now_ns: int, size_bytes: int) -> int | None:
        """When a packet arrives; None if it is lost."""
        self._free_ns = max(self._free_ns, now_ns) + size_bytes * S // self._bytes_per_s
        return self._later(self._free_ns)

    def down(self, now_ns: int) -> int | None:
        """When an acknowledgement arrives."""
        return self._later(now_ns)

    def _later(self, now_ns: int) -> int | None:
        if self._rng.random() < self._loss:
            return None
        return now_ns + self._delay_ns + int(self._rng.random() * self._jitter_ns)


class World:
    """A node that takes a picture now and then, a link, a gateway; events in the order of time.

    A frame has a thousand bytes for each second from one picture to the next, give or take.
    """

    def __init__(self, seed: int, link: Link, period_s: int) -> None:
        self.period_s = period_s
        self.rng = Random(seed)
        self.link = link
        self.now_ns = 0
        # As in the outbox: a quarter of the cap is left free.
        self.pending = Pending(BOOT, CAP_BYTES * 3 // 4, 9)
        self.packets: dict[PacketKey, Packet] = {}
        self.sender = Sender(BOOT, Random(seed), Limits(start_within_ns=2 * S))
        self.receiver = Receiver(BOOT)
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0
        self.captured: dict[int, tuple[int, int]] = {}
        self.stored: dict[int, int] = {}
        self.told: Counter[Reason] = Counter()
        self.given_up: Counter[int] = Counter()
        self.wake_ns: int | None = None

    def at(self, time_ns: int, action: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (time_ns, self.count, action))

    def run(self, until_s: float) -> None:
        while self.events and self.events[0][0] <= until_s * S:
            self.now_ns, _, action = heapq.heappop(self.events)
            action()

    def connect(self, up: bool) -> None:
        self.sender.on_connection(up)
        self.sender.on_gateway(up, self.now_ns)
        self.poll()

    def capture(self) -> None:
        """Put a frame now, and the next one later."""
        size_bytes = self.period_s * self.rng.randrange(700, 1300)
        packet = Packet(Kind.FRAME, 0, 0, bytes(size_bytes), 0, 0, self.rng.choice(CLASSES))
        packet = self.pending.stamp(packet)
        entry = Entry.of(packet)
        self.captured[packet.pkt] = (self.now_ns, packet.priority)
        decisions = self.pending.make_room(entry)
        for decision in decisions:
            self.apply(decision)
        if not any(decision.newcomers for decision in decisions):
            self.pending.put(entry)
            self.packets[entry.key] = packet
            self.sender.add(entry)
        self.at(self.now_ns + self.period_s * S, self.capture)
        if self.sender.open:
            self.poll()

    def apply(self, decision: Drop) -> None:
        victims = [self.pending.entries[key] for key in decision.removed]
        classes = [e.priority for e in victims if e.kind is Kind.FRAME]
        self.pending.apply(decision)
        self.sender.forget(decision.removed)
        for key in decision.removed:
            del self.packets[key]
        self.given_up.update(classes)
        entry = Entry.of(decision.packet)
        self.packets[entry.key] = decision.packet
        self.sender.add(entry)

    def poll(self) -> None:
        poll = self.sender.poll(self.now_ns)
        for key in poll.send:
            packet = self.packets[key]
            arrival_ns = self.link.up(self.now_ns, len(packet.payload) + 20 + 36)
            if arrival_ns is not None:
                self.at(arrival_ns, partial(self.arrive, packet))
        if poll.wake_ns is not None and poll.wake_ns != self.wake_ns:
            self.wake_ns = poll.wake_ns
            self.at(max(poll.wake_ns, self.now_ns + 1), self.poll)

    def arrive(self, packet: Packet) -> None:
        receipt = self.receiver.record(packet)
        if receipt.new and packet.kind is Kind.FRAME:
            self.stored[packet.pkt] = self.now_ns
        for record in receipt.dropped:
            self.told[record.reason] += record.count
        ack = self.receiver.ack(64)
        arrival_ns = self.link.down(self.now_ns)
        if arrival_ns is not None:
            self.at(arrival_ns, lambda: self.acknowledge(ack))

    def acknowledge(self, ack: object) -> None:
        if not self.sender.open:
            return
        for settled in self.sender.on_ack(ack, self.now_ns):  # type: ignore[arg-type]
            for entry in self.pending.settle(BOOT, settled):
                del self.packets[entry.key]
        self.poll()

    def p95_s(self, since_s: float, until_s: float) -> float:
        """95th percentile from capture to the store, of the frames captured in between."""
        waits = sorted(
            self.stored[pkt] - time_ns
            for pkt, (time_ns, _) in self.captured.items()
            if since_s * S <= time_ns < until_s * S and pkt in self.stored
        )
        return waits[len(waits) * 95 // 100] / S


@pytest.mark.parametrize(
    ("bytes_per_s", "delay_s", "jitter_s", "loss", "period_s"),
    [(20_000, 0.3, 0.05, 0.02, 5), (10_000, 0.05, 0.02, 0.0, 8)],
    ids=["satellite", "thin"],
)
def test_72_hours(
    bytes_per_s: int, delay_s: float, jitter_s: float, loss: float, period_s: int
) -> None:
    world = World(1, Link(Random(2), bytes_per_s, delay_s, jitter_s, loss), period_s)
    world.at(0, world.capture)
    world.at(0, lambda: world.connect(True))
    start_s, end_s = HOUR, 73 * HOUR
    world.at(start_s * S, lambda: world.connect(False))
    world.at(end_s * S, lambda: world.connect(True))
    world.run(end_s - 1)
    usual_s = world.p95_s(60, start_s - 60)
    assert world.pending.size_bytes <= CAP_BYTES
    assert world.given_up[0] > 15_000
    assert world.given_up[ALARM] == 0
    assert len(world.captured) == world.pending.ledger.captured

    drained_s = end_s
    while len(world.sender) > 20:
        drained_s += 60
        world.run(drained_s)
    # 60 % of what the link carries beside live frames, at the least
    assert drained_s - end_s <= 1.7 * 0.75 * CAP_BYTES / (bytes_per_s - 1000)
    busy_s = world.p95_s(end_s + 10, drained_s - 60)
    assert busy_s <= 2 * usual_s

    world.run(drained_s + 600)
    ledger = world.pending.ledger
    settled = ledger.stored + ledger.dropped.total()
    assert ledger.pending == world.pending.frames <= 20
    assert ledger.dropped == {Reason.FULL: world.given_up.total()}
    assert world.told[Reason.FULL] == ledger.dropped[Reason.FULL]
    assert ledger.stored <= len(world.stored) <= settled - ledger.dropped.total() + 20
