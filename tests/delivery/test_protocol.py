"""Node and gateway against a network that loses, repeats and reorders, with restarts of both.

The model keeps what is durable (the node's packets, the gateway's rows) and throws away the rest
at each restart. When the weather clears, every frame ever put is stored once or named in a DROP.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tactic_codec import drop
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_delivery import ack as ack_message
from tactic_delivery.drops import MOST_IN_DROP, Drop
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.limits import Limits
from tactic_delivery.pending import Pending
from tactic_delivery.receiver import Receiver
from tactic_delivery.sender import Sender

MS = 1_000_000
CAPACITY_BYTES = 1500
LIMITS = Limits(window_packets=6, window_bytes=700, first_credit=3)


class Node:
    """A device whose outbox survives its restarts."""

    def __init__(self) -> None:
        self.pending = Pending(0, CAPACITY_BYTES)
        self.bytes: dict[PacketKey, bytes] = {}
        self.put_frames: set[PacketKey] = set()
        self.boots = 0
        self.start()

    def start(self) -> None:
        self.boots += 1
        boot = self.boots << 12 | 0xABC
        former, self.pending = self.pending, Pending(boot, CAPACITY_BYTES)
        self.pending.ledger = former.ledger
        for held, following in former.next_numbers().items():
            self.pending.note_number(held, following)
        self.sender = Sender(boot, Random(self.boots), LIMITS)
        for entry in former.entries.values():
            self.pending.restore(entry, former._drops._records.get(entry.key, ()))
            self.sender.add(entry)

    def put(self, size_bytes: int, priority: int) -> None:
        packet = Packet(Kind.FRAME, 0, 0, bytes(size_bytes), priority=priority)
        packet = self.pending.stamp(packet)
        entry = Entry.of(packet)
        self.put_frames.add(entry.key)
        drops = self.pending.make_room(entry)
        for decision in drops:
            self._apply(decision)
        if not any(decision.newcomers for decision in drops):
            self.pending.put(entry)
            self._keep(packet)

    def on_ack(self, raw: bytes, now_ns: int) -> None:
        ack = ack_message.unpack(raw)
        for settled in self.sender.on_ack(ack, now_ns):
            for entry in self.pending.settle(ack.boot, settled):
                del self.bytes[entry.key]

    def _apply(self, decision: Drop) -> None:
        self.pending.apply(decision)
        self.sender.forget(decision.removed)
        for key in decision.removed:
            del self.bytes[key]
        self._keep(decision.packet)

    def _keep(self, packet: Packet) -> None:
        entry = Entry.of(packet)
        self.bytes[entry.key] = pack(packet)
        self.sender.add(entry)


class Gateway:
    """A gateway whose database survives its restarts."""

    def __init__(self) -> None:
        self.stored: list[PacketKey] = []
        self.dropped: list[tuple[int, int, int]] = []
        self.receivers: dict[int, Receiver] = {}

    def restart(self) -> None:
        self.receivers = {}

    def receive(self, raw: bytes) -> bytes:
        packet = unpack(raw)
        if packet.boot not in self.receivers:
            rows = [(key.pkt, 1) for key in self.stored if key.boot == packet.boot]
            rows += [(first, n) for boot, first, n in self.dropped if boot == packet.boot]
            self.receivers[packet.boot] = Receiver(packet.boot, rows)
        receipt = self.receivers[packet.boot].record(packet)
        if receipt.new:
            self.stored.append(PacketKey(packet.boot, packet.pkt))
        self.dropped += [(packet.boot, r.first, r.count) for r in receipt.dropped]
        return ack_message.pack(self.receivers[packet.boot].ack(5))

    def dropped_keys(self) -> list[PacketKey]:
        return [
            PacketKey(boot, pkt)
            for boot, first, count in self.dropped
            for pkt in range(first, first + count)
        ]


class Delivery(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.now_ns = 0
        self.node = Node()
        self.gateway = Gateway()
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        self.link_is(up=True)

    @rule(size_bytes=st.integers(0, 400), priority=st.integers(0, 3))
    def put(self, size_bytes: int, priority: int) -> None:
        self.node.put(size_bytes, priority)

    @rule(ms=st.integers(0, 20_000))
    def time_passes(self, ms: int) -> None:
        self.now_ns += ms * MS
        self.up += [self.node.bytes[key] for key in self.node.sender.poll(self.now_ns).send]

    @rule(up=st.booleans())
    def link_is(self, up: bool) -> None:
        self.node.sender.on_connection(up)
        self.node.sender.on_gateway(up, self.now_ns)

    @rule(present=st.booleans())
    def gateway_is(self, present: bool) -> None:
        self.node.sender.on_gateway(present, self.now_ns)

    @rule(lost=st.sets(st.integers(0, 9)))
    def most_packets_arrive(self, lost: set[int]) -> None:
        self.time_passes(1_000)
        self.down += [self.gateway.receive(raw) for n, raw in enumerate(self.up) if n not in lost]
        self.up.clear()

    @rule(lost=st.sets(st.integers(0, 9)))
    def most_acks_arrive(self, lost: set[int]) -> None:
        for n, raw in enumerate(self.down):
            if n not in lost:
                self.node.on_ack(raw, self.now_ns)
        self.down.clear()

    @rule(at=st.integers(0, 50), again=st.booleans())
    def packet_arrives(self, at: int, again: bool) -> None:
        if self.up:
            at %= len(self.up)
            raw = self.up[at] if again else self.up.pop(at)
            self.down.append(self.gateway.receive(raw))

    @rule(at=st.integers(0, 50), again=st.booleans())
    def ack_arrives(self, at: int, again: bool) -> None:
        if self.down:
            at %= len(self.down)
            raw = self.down[at] if again else self.down.pop(at)
            self.node.on_ack(raw, self.now_ns)

    @rule(times=st.integers(5, 12))
    def a_burst_of_frames(self, times: int) -> None:
        for _ in range(times):
            self.node.put(100, 1)

    @rule(up=st.booleans())
    def everything_on_its_way_is_lost(self, up: bool) -> None:
        (self.up if up else self.down).clear()

    @rule(up=st.booleans())
    def node_restarts(self, up: bool) -> None:
        self.node.start()
        self.link_is(up)

    @rule()
    def gateway_restarts(self) -> None:
        self.gateway.restart()

    @invariant()
    def the_ledger_closes(self) -> None:
        assert self.node.pending.ledger.pending == self.node.pending.frames >= 0
        assert self.node.pending.ledger.captured == len(self.node.put_frames)

    @invariant()
    def nothing_is_there_twice(self) -> None:
        settled = self.gateway.stored + self.gateway.dropped_keys()
        assert len(settled) == len(set(settled))

    @invariant()
    def nothing_leaves_the_node_unsettled(self) -> None:
        assert set(self.node.bytes) == set(self.node.pending.entries)
        assert len(self.node.sender) == len(self.node.bytes)
        drops = [e.key for e in self.node.pending.entries.values() if e.kind is Kind.DROP]
        records = {key: drop.unpack(unpack(self.node.bytes[key]).payload) for key in drops}
        short = [key for key in drops if len(records[key]) <= MOST_IN_DROP]
        assert len({key.boot for key in short}) == len(short)

    @invariant()
    def the_outbox_is_bounded(self) -> None:
        frames = [e for e in self.node.pending.entries.values() if e.kind is not Kind.DROP]
        assert sum(e.size_bytes for e in frames) <= CAPACITY_BYTES

    def teardown(self) -> None:
        if not hasattr(self, "node"):
            return
        self.link_is(up=True)
        self.time_passes(1_000)
        # Nothing but a time-out can bring these back.
        self.up.clear()
        for _ in range(200):
            self.time_passes(1_000)
            while self.up:
                self.packet_arrives(0, again=False)
            while self.down:
                self.ack_arrives(0, again=False)
        self.nothing_is_there_twice()
        self.the_ledger_closes()
        assert not self.node.bytes
        settled = set(self.gateway.stored) | set(self.gateway.dropped_keys())
        assert self.node.put_frames <= settled
        stored = self.node.put_frames & set(self.gateway.stored)
        assert self.node.pending.ledger.stored <= len(stored)


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("seed", range(4))
def test_a_long_storm(seed: int) -> None:
    """The same rules, drawn evenly over a long life: deeper than the search for short ones."""
    rng = Random(seed)
    world = Delivery()
    world.begin()
    for _ in range(1500):
        step = rng.randrange(12)
        if step < 4:
            world.put(rng.randrange(400), rng.randrange(4))
        elif step < 6:
            world.packet_arrives(rng.randrange(50), again=rng.random() < 0.2)
        elif step < 8:
            world.ack_arrives(rng.randrange(50), again=rng.random() < 0.2)
        elif step < 10:
            world.time_passes(rng.randrange(3000))
        elif step < 11:
            world.link_is(up=rng.random() < 0.9)
        elif rng.random() < 0.3:
            world.node_restarts(up=True)
            world.gateway_restarts()
        world.nothing_is_there_twice()
        world.the_ledger_closes()
        world.nothing_leaves_the_node_unsettled()
    assert len(world.gateway.stored) > 50
    assert len(world.gateway.dropped) > 50
    world.teardown()
