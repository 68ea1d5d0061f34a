"""The node's half of the protocol: what to send when, and what an acknowledgement settles.

No I/O and no clock: ``now_ns`` is any monotonic time, and the caller sends what `Sender.poll`
names. Normative text: ``docs/delivery.md``, "Sender".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from tactic_delivery.ack import Ack
from tactic_delivery.allowance import ALARM, Allowance
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.errors import AckError
from tactic_delivery.flight import Flight
from tactic_delivery.limits import Limits
from tactic_delivery.ranges import Range
from tactic_delivery.timeout import Timeout
from tactic_delivery.turns import Turns, Waiting
from tactic_delivery.window import Pace, Window

_NEVER_NS = 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Poll:
    """Packets to send now, in this order, and when to ask again (None: after the next event)."""

    send: tuple[PacketKey, ...]
    wake_ns: int | None


class Sender:
    """State machine of one node over all boots whose packets it still holds.

    Parameters
    ----------
    boot : int
        uint32, the running boot.
    rng : random.Random
        Source of the jitter.
    limits : Limits
    allowance : Allowance or None
        What the link may be given; None: no budgets.
    """

    def __init__(
        self,
        boot: int,
        rng: Random,
        limits: Limits | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.boot = boot
        self.sent_again = 0
        self._rng = rng
        self._limits = limits or Limits()
        self._allowance = allowance
        self._allowed_ns = 0
        caps = self._limits
        self._timeout = Timeout(rng, caps.first_timeout_ns, caps.most_timeout_ns)
        self._window = Window(caps.first_credit, caps.window_packets, caps.least_window)
        self._pace = Pace(caps.first_credit, caps.window_packets, caps.least_backlog)
        self._turns = Turns(self._limits.live_share, self._find)
        self._packets: dict[int, dict[int, Waiting]] = {}
        self._settled_below: dict[int, int] = {}
        self._top: dict[int, int] = {}
        self._count = 0
        self._flight = Flight()
        self._connected = False
        self._present = False
        self._start_ns = 0
        self._backlog_from_ns = 0
        self._credit = self._limits.first_credit
        self._credit_ns = 0

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
        packet = Waiting(entry, live=self.open and boot == self.boot)
        self._packets.setdefault(boot, {})[pkt] = packet
        self._count += 1
        self._top[boot] = max(self._top.get(boot, 0), pkt + 1)
        self._turns.push(packet)

    def forget(self, keys: Iterable[PacketKey]) -> None:
        """Send these no more: the node has given them up."""
        for key in keys:
            self._remove(key)

    def put_back(self, key: PacketKey, until_ns: int) -> None:
        """A packet that `poll` named could not be read: no backlog is sent before ``until_ns``."""
        packet = self._flight[key]
        self._flight.land(key)
        packet.attempts -= 1
        packet.live = False
        self.sent_again -= packet.attempts > 0
        self._backlog_from_ns = until_ns
        self._turns.push(packet)

    def on_connection(self, up: bool) -> None:
        """Note that the connection to the broker was made or lost; it starts without a gateway."""
        self._connected = up
        self._present = False
        self._all_to_backlog()

    def on_gateway(self, present: bool, now_ns: int) -> None:
        """Note the gateway's presence; while it is away nothing is sent."""
        if present and not self._present:
            self._credit = self._limits.first_credit
            self._window.restart()
            self._pace.restart()
            self._start_ns = now_ns + int(self._limits.start_within_ns * self._rng.random())
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
        self._window.grow(len(keys))
        for key in keys:
            self._remove(key)
        return _runs(keys)

    def poll(self, now_ns: int) -> Poll:
        """Name the packets to send now; they count as sent at ``now_ns``."""
        self._time_out(now_ns)
        send: list[PacketKey] = []
        while self.open and now_ns >= self._start_ns:
            packet = self._next(now_ns)
            if packet is None or not self._fits(packet, now_ns):
                break
            self._turns.take(packet)
            self._launch(packet, now_ns)
            send.append(packet.entry.key)
        return Poll(tuple(send), self._wake_ns(now_ns))

    def _next(self, now_ns: int) -> Waiting | None:
        """Whose turn it is and who may go: an alarm where no other packet may."""
        backlog = self._backlog_may_go(now_ns)
        self._allowed_ns = 0
        for packet in (self._turns.next(backlog), self._turns.urgent(backlog, ALARM)):
            if packet and self._is_allowed(packet, now_ns):
                return packet
        return None

    def _is_allowed(self, packet: Waiting, now_ns: int) -> bool:
        if self._allowance is None:
            return True
        entry = packet.entry
        alarm = entry.priority >= ALARM
        allowed_ns = self._allowance.earliest_ns(now_ns, entry.size_bytes, alarm)
        # What is never allowed blocks the way until it is given up.
        self._allowed_ns = allowed_ns if allowed_ns is not None else now_ns + _NEVER_NS
        return self._allowed_ns <= now_ns

    def _find(self, key: PacketKey) -> Waiting | None:
        return self._packets.get(key.boot, {}).get(key.pkt)

    def _covered(self, ack: Ack) -> set[PacketKey]:
        boot = self._packets.get(ack.boot)
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
        flying = self._flight.of(keys)
        once = [packet for packet in flying if packet.attempts == 1]
        if once:
            earliest = min(once, key=lambda packet: packet.sent_ns)
            latest = max(once, key=lambda packet: packet.sent_ns)
            # How long the path takes; a time-out also has to wait until an answer is said.
            self._timeout.sample(now_ns - earliest.sent_ns)
            backlog = sum(not packet.live for packet in flying)
            self._pace.sample(now_ns - latest.sent_ns, latest.alone, backlog, now_ns)

    def _backlog_may_go(self, now_ns: int) -> bool:
        flight = self._flight
        small = flight.backlog_bytes < self._limits.least_bytes
        return now_ns >= self._backlog_from_ns and (small or flight.backlog < self._pace.packets)

    def _fits(self, packet: Waiting, now_ns: int) -> bool:
        if not self._flight:
            return self._credit > 0 or now_ns >= self._credit_ns + self._limits.probe_ns
        flying, size_bytes = len(self._flight), self._flight.size_bytes
        if (
            flying >= self._credit
            or size_bytes + packet.entry.size_bytes > self._limits.window_bytes
        ):
            return False
        return flying < self._window.packets or size_bytes < self._limits.least_bytes

    def _launch(self, packet: Waiting, now_ns: int) -> None:
        self.sent_again += packet.attempts > 0
        if self._allowance:
            self._allowance.take(now_ns, packet.entry.size_bytes)
        due_ns = now_ns + self._timeout.wait_ns(packet.attempts + 1)
        self._flight.launch(packet, now_ns, due_ns)

    def _time_out(self, now_ns: int) -> None:
        late = self._flight.late(now_ns)
        # Before the first round trip a time-out says that the link is slow, not that it is full.
        if late and self._timeout.back_off(now_ns) and self._timeout.measured:
            self._window.halve()
        for packet in late:
            self._turns.push(packet)
            self._flight.land(packet.entry.key)

    def _wake_ns(self, now_ns: int) -> int | None:
        if not self.open:
            return None
        if now_ns < self._start_ns:
            return self._start_ns
        due_ns = self._flight.due_ns()
        if now_ns < self._backlog_from_ns:
            due_ns.append(self._backlog_from_ns)
        if now_ns < self._allowed_ns:
            due_ns.append(self._allowed_ns)
        if not self._flight and self._turns.next(self._backlog_may_go(now_ns)):
            probe_ns = self._credit_ns + self._limits.probe_ns
            due_ns += [probe_ns] if now_ns < probe_ns else []
        return min(due_ns, default=None)

    def _remove(self, key: PacketKey) -> None:
        self._flight.land(key)
        boot = self._packets.get(key.boot, {})
        if boot.pop(key.pkt, None) is None:
            return
        self._count -= 1
        if not boot and key.boot != self.boot:
            for of_boot in (self._packets, self._settled_below, self._top):
                of_boot.pop(key.boot, None)
        if len(self._turns) > 2 * self._count + 64:
            self._rebuild()

    def _all_to_backlog(self) -> None:
        self._flight.land_all()
        for boot in self._packets.values():
            for packet in boot.values():
                packet.live = False
        self._rebuild()

    def _rebuild(self) -> None:
        waiting = (p for boot in self._packets.values() for p in boot.values())
        self._turns.rebuild(p for p in waiting if p.due_ns is None)


def _runs(keys: list[PacketKey]) -> list[Range]:
    runs: list[Range] = []
    for _, pkt in keys:
        if runs and runs[-1].stop == pkt:
            runs[-1] = Range(runs[-1].first, runs[-1].size + 1)
        else:
            runs.append(Range(pkt, 1))
    return runs
