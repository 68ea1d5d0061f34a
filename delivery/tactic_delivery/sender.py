"""The node's half of the protocol: what to send when, and what an acknowledgement settles.

No I/O and no clock: ``now_ns`` is any monotonic time, and the caller sends what `Sender.poll`
names. Normative text: ``docs/delivery.md``, "Sender".
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from tactic_delivery.ack import Ack
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.errors import AckError
from tactic_delivery.ranges import Range
from tactic_delivery.timeout import Timeout

_SECOND_NS = 1_000_000_000
_Order = tuple[int, bool, PacketKey]


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard caps on what may be on its way, and the waiting times.

    ``first_credit`` packets are allowed before the first acknowledgement names a window. From
    there the number on their way grows with each acknowledgement and halves at each time-out,
    so that a thin link is not filled with copies of what it still carries. After ``probe_ns`` a
    closed window (0) is tried with one packet: the message that opens it again may be lost.
    """

    window_packets: int = 64
    window_bytes: int = 262_144
    first_credit: int = 4
    probe_ns: int = 5 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class Poll:
    """Packets to send now, in this order, and when to ask again (None: after the next event)."""

    send: tuple[PacketKey, ...]
    wake_ns: int | None


@dataclass(slots=True)
class _State:
    entry: Entry
    live: bool
    attempts: int = 0
    sent_ns: int = 0
    deadline_ns: int | None = None

    @property
    def order(self) -> _Order:
        return (-self.entry.priority, not self.live, self.entry.key)


class Sender:
    """State machine of one node over all boots whose packets it still holds.

    Parameters
    ----------
    boot : int
        uint32, the running boot.
    rng : random.Random
        Source of the jitter.
    limits : Limits
    """

    def __init__(self, boot: int, rng: Random, limits: Limits | None = None) -> None:
        self.boot = boot
        self.sent_again = 0
        self._limits = limits or Limits()
        self._timeout = Timeout(rng)
        self._states: dict[int, dict[int, _State]] = {}
        self._settled_below: dict[int, int] = {}
        self._top: dict[int, int] = {}
        self._count = 0
        self._ready: list[_Order] = []
        self._flying: dict[PacketKey, _State] = {}
        self._flying_bytes = 0
        self._connected = False
        self._present = False
        self._credit = self._limits.first_credit
        self._credit_ns = 0
        self._allowed = float(self._limits.first_credit)
        self._slow_above = float(self._limits.window_packets)

    def __len__(self) -> int:
        """Packets that wait for an acknowledgement."""
        return self._count

    @property
    def open(self) -> bool:
        """Whether there is a connection and a gateway at its end."""
        return self._connected and self._present

    def add(self, entry: Entry) -> None:
        """Take charge of a packet; it is live if it could be sent right now, else backlog."""
        boot, pkt = entry.key
        state = _State(entry, live=self.open and boot == self.boot)
        self._states.setdefault(boot, {})[pkt] = state
        self._count += 1
        self._top[boot] = max(self._top.get(boot, 0), pkt + 1)
        heapq.heappush(self._ready, state.order)

    def forget(self, keys: Iterable[PacketKey]) -> None:
        """Send these no more: the node has given them up."""
        for key in keys:
            self._remove(key)

    def on_connection(self, up: bool) -> None:
        """Note that the connection to the broker was made or lost; it starts without a gateway."""
        self._connected = up
        self._present = False
        self._all_to_backlog()

    def on_gateway(self, present: bool) -> None:
        """Note the gateway's presence; while it is away nothing is sent."""
        if present and not self._present:
            self._credit = self._limits.first_credit
            self._allowed = float(self._limits.first_credit)
        if not present:
            self._all_to_backlog()
        self._present = present

    def on_ack(self, ack: Ack, now_ns: int) -> list[Range]:
        """Settle what the gateway holds; return the packets that are settled by this message.

        Returns
        -------
        list of Range
            Of the boot ``ack.boot``, in rising order; runs of packets that were waiting.

        Raises
        ------
        AckError
            It acknowledges packets of this boot that do not exist yet.
        """
        if ack.boot == self.boot and ack.top > self._top.get(ack.boot, 0):
            raise AckError("future", f"packet {ack.top - 1} of this boot was never sent")
        self._credit, self._credit_ns = ack.window, now_ns
        keys = sorted(self._covered(ack))
        self._measure(keys, now_ns)
        self._grow(len(keys))
        for key in keys:
            self._remove(key)
        return _runs(keys)

    def poll(self, now_ns: int) -> Poll:
        """Name the packets to send now; they count as sent at ``now_ns``."""
        self._expire(now_ns)
        send: list[PacketKey] = []
        while self.open and (state := self._next_ready()) and self._fits(state, now_ns):
            heapq.heappop(self._ready)
            self._launch(state, now_ns)
            send.append(state.entry.key)
        return Poll(tuple(send), self._wake_ns())

    def _covered(self, ack: Ack) -> set[PacketKey]:
        boot = self._states.get(ack.boot)
        if not boot:
            return set()
        below = self._settled_below.get(ack.boot, 0)
        ranges = list(ack.ranges)
        if ack.cumulative > below:
            self._settled_below[ack.boot] = ack.cumulative
            ranges.append(Range(below, ack.cumulative - below))
        found: set[PacketKey] = set()
        for r in ranges:
            small = r.size < len(boot)
            numbers = range(r.first, r.stop) if small else boot
            found.update(PacketKey(ack.boot, n) for n in numbers if r.first <= n < r.stop)
        return {key for key in found if key.pkt in boot}

    def _measure(self, keys: list[PacketKey], now_ns: int) -> None:
        # Karn's rule: a packet that was sent twice does not say which copy was acknowledged.
        flying = (self._flying[key] for key in keys if key in self._flying)
        once = [state.sent_ns for state in flying if state.attempts == 1]
        if once:
            self._timeout.sample(now_ns - max(once))

    def _grow(self, settled: int) -> None:
        gain = settled if self._allowed < self._slow_above else settled / self._allowed
        self._allowed = min(self._allowed + gain, self._limits.window_packets)

    def _next_ready(self) -> _State | None:
        while self._ready:
            order = self._ready[0]
            state = self._states.get(order[2].boot, {}).get(order[2].pkt)
            if state and state.deadline_ns is None and state.order == order:
                return state
            heapq.heappop(self._ready)
        return None

    def _fits(self, state: _State, now_ns: int) -> bool:
        if not self._flying:
            return self._credit > 0 or now_ns >= self._credit_ns + self._limits.probe_ns
        packets = min(int(self._allowed), self._credit)
        room_bytes = self._limits.window_bytes - self._flying_bytes
        return len(self._flying) < packets and state.entry.size_bytes <= room_bytes

    def _launch(self, state: _State, now_ns: int) -> None:
        self.sent_again += state.attempts > 0
        state.attempts += 1
        state.sent_ns = now_ns
        state.deadline_ns = now_ns + self._timeout.wait_ns(state.attempts)
        self._flying[state.entry.key] = state
        self._flying_bytes += state.entry.size_bytes

    def _land(self, key: PacketKey) -> None:
        if state := self._flying.pop(key, None):
            state.deadline_ns = None
            self._flying_bytes -= state.entry.size_bytes

    def _expire(self, now_ns: int) -> None:
        late = [key for key, s in self._flying.items() if (s.deadline_ns or 0) <= now_ns]
        # Before the first round trip a time-out says that the link is slow, not that it is full.
        if late and self._timeout.back_off(now_ns) and self._timeout.measured:
            self._allowed = self._slow_above = max(1.0, self._allowed / 2)
        for key in late:
            heapq.heappush(self._ready, self._flying[key].order)
            self._land(key)

    def _wake_ns(self) -> int | None:
        if not self.open:
            return None
        if self._flying:
            return min(s.deadline_ns or 0 for s in self._flying.values())
        return self._credit_ns + self._limits.probe_ns if self._next_ready() else None

    def _remove(self, key: PacketKey) -> None:
        self._land(key)
        boot = self._states.get(key.boot, {})
        if boot.pop(key.pkt, None) is None:
            return
        self._count -= 1
        if not boot and key.boot != self.boot:
            for of_boot in (self._states, self._settled_below, self._top):
                of_boot.pop(key.boot, None)
        if len(self._ready) > 2 * self._count + 64:
            self._rebuild()

    def _all_to_backlog(self) -> None:
        for key in list(self._flying):
            self._land(key)
        for boot in self._states.values():
            for state in boot.values():
                state.live = False
        self._rebuild()

    def _rebuild(self) -> None:
        waiting = (s for boot in self._states.values() for s in boot.values())
        self._ready = [s.order for s in waiting if s.deadline_ns is None]
        heapq.heapify(self._ready)


def _runs(keys: list[PacketKey]) -> list[Range]:
    runs: list[Range] = []
    for _, pkt in keys:
        if runs and runs[-1].stop == pkt:
            runs[-1] = Range(runs[-1].first, runs[-1].size + 1)
        else:
            runs.append(Range(pkt, 1))
    return runs
