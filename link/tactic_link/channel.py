"""The channel between a node and its gateway: when something can be sent, when it arrives.

Pure: time is an argument, randomness is seeded. The simulator asks it in virtual time and the
proxy in real time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tactic_link.airtime import AirtimeBudget
from tactic_link.lora import time_on_air_s
from tactic_link.loss import Loss
from tactic_link.preset import Budget, Direction, Preset, Way
from tactic_link.windows import Contacts, S

_LEAST_STALL_NS = S // 5
_MOST_DOUBLINGS = 6
# A message that is longer than every contact would be looked for in vain for ever.
_MOST_LOOKS = 1000


@dataclass(frozen=True, slots=True)
class Transit:
    """One message on its way.

    Attributes
    ----------
    end_ns : int
        Its last bit has left; from then on the next message may.
    arrive_ns : int or None
        None if it is lost.
    """

    end_ns: int
    arrive_ns: int | None


@dataclass(slots=True)
class Meter:
    """What went over the link, as a bill or a battery sees it.

    Attributes
    ----------
    bytes : dict of Way to int
        On air, with the link's overhead and what was sent again.
    messages : int
        Of the node.
    credits : int
    sessions : int
        Connections; without IP, contacts in which something was sent.
    airtime_ns : int
        Time for which the node sent.
    """

    bytes: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    messages: int = 0
    credits: int = 0
    sessions: int = 0
    airtime_ns: int = 0


class Channel:
    """One link, both ways.

    Parameters
    ----------
    preset : Preset
    contacts : Contacts
    rng : random.Random
    fair_use : bool
        Keep to the optional budgets as well.
    """

    def __init__(
        self, preset: Preset, contacts: Contacts, rng: Random, fair_use: bool = False
    ) -> None:
        self.preset = preset
        self.meter = Meter()
        self._contacts = contacts
        self._rng = rng
        self._loss = {way: Loss(preset.way(way), rng) for way in Way}
        self._budgets = budgets(preset.budgets, fair_use)
        self._free_ns = dict.fromkeys(Way, 0)
        self._last = Way.UP
        self._session_ns: int | None = None
        self._turn_ns = preset.turnaround.ns if preset.turnaround else 0
        self._stall_ns = max(_LEAST_STALL_NS, preset.up.delay.ns + preset.down.delay.ns)

    def air_ns(self, way: Way, size_bytes: int, now_ns: int = 0) -> int:
        """How long a message takes on air, with what the link adds to it."""
        window = self._contacts.at(now_ns)
        rate_bps = window.rate_bps if window and way is Way.UP else None
        return air_ns(self.preset.way(way), size_bytes, rate_bps)

    def ready_ns(self, way: Way, size_bytes: int, now_ns: int) -> int | None:
        """When a message may begin, at ``now_ns`` or later; None: never again.

        It ends within the contact in which it begins, and keeps to every budget.
        """
        at_ns = max(now_ns, self._free_from(way))
        for _ in range(_MOST_LOOKS):
            window = self._contacts.at(at_ns)
            if window is None:
                return None
            start_ns = max(at_ns, window.start_ns)
            length_ns = self.air_ns(way, size_bytes, start_ns)
            earliest_ns = self._within_budgets(way, start_ns, length_ns)
            if earliest_ns is None:
                return None
            if earliest_ns == start_ns and start_ns + length_ns <= window.end_ns:
                return start_ns
            at_ns = earliest_ns if earliest_ns > start_ns else window.end_ns
        return None

    def transmit(self, way: Way, size_bytes: int, now_ns: int) -> Transit:
        """Send a message at a moment that `ready_ns` named.

        On IP links every packet arrives: one that is lost is sent again by TCP, and stalls for a
        round trip each time, twice as long with each further loss (RFC 6298).
        """
        length_ns = self.air_ns(way, size_bytes, now_ns)
        end_ns = now_ns + length_ns
        self._free_ns[way] = end_ns
        self._last = way
        self._book(way, size_bytes, now_ns, length_ns)
        direction = self.preset.way(way)
        delay_ns = direction.delay.ns
        if direction.jitter:
            delay_ns += int(self._rng.uniform(-1.0, 1.0) * direction.jitter.ns)
        if self.preset.bearer == "ip":
            delay_ns += self._stalls(way, size_bytes, now_ns)
        elif self._loss[way].lost(now_ns):
            return Transit(end_ns, None)
        return Transit(end_ns, end_ns + max(0, delay_ns))

    def hold(self, until_ns: int) -> None:
        """Keep the node from sending before a moment: it listens."""
        self._free_ns[Way.UP] = max(self._free_ns[Way.UP], until_ns)

    def _free_from(self, way: Way) -> int:
        if not self.preset.half_duplex:
            return self._free_ns[way]
        turn_ns = self._turn_ns if way is not self._last else 0
        return max(self._free_ns[way], self._free_ns[self._last] + turn_ns)

    def _within_budgets(self, way: Way, start_ns: int, length_ns: int) -> int | None:
        for budget in self._budgets if way is Way.UP else ():
            earliest_ns = budget.earliest_ns(start_ns, length_ns)
            if earliest_ns is None:
                return None
            start_ns = max(start_ns, earliest_ns)
        return start_ns

    def _book(self, way: Way, size_bytes: int, now_ns: int, length_ns: int) -> None:
        meter, price = self.meter, self.preset.price
        meter.bytes[way] += on_air_bytes(self.preset.way(way), size_bytes)
        if way is Way.UP:
            meter.messages += 1
            meter.airtime_ns += length_ns
            for budget in self._budgets:
                budget.take(now_ns, length_ns)
        if self.preset.bearer == "datagram":
            window = self._contacts.at(now_ns)
            start_ns = window.start_ns if window else 0
            meter.sessions += start_ns != self._session_ns
            self._session_ns = start_ns
        if price.credit_size:
            meter.credits += max(1, -(-size_bytes // int(price.credit_size.base)))

    def _stalls(self, way: Way, size_bytes: int, now_ns: int) -> int:
        """Time that TCP needs to repair what is lost of a message."""
        direction, loss = self.preset.way(way), self._loss[way]
        total_ns = 0
        for _ in range(packets(direction, size_bytes)):
            doublings = 0
            while loss.lost(now_ns) and doublings < _MOST_DOUBLINGS:
                total_ns += self._stall_ns << doublings
                doublings += 1
                most = int(direction.mtu.base + direction.overhead.base)
                self.meter.bytes[way] += min(most, on_air_bytes(direction, size_bytes))
        return total_ns


def budgets(given: Sequence[Budget], fair_use: bool) -> list[AirtimeBudget]:
    """The budgets that hold."""
    return [
        AirtimeBudget(each.airtime.ns, each.window.ns)
        for each in given
        if fair_use or not each.optional
    ]


def packets(direction: Direction, size_bytes: int) -> int:
    """Datagrams or IP packets that a message takes."""
    return max(1, -(-size_bytes // int(direction.mtu.base)))


def on_air_bytes(direction: Direction, size_bytes: int) -> int:
    """Bytes of a message with the link's overhead."""
    return size_bytes + packets(direction, size_bytes) * int(direction.overhead.base)


def air_ns(direction: Direction, size_bytes: int, rate_bps: float | None = None) -> int:
    """How long a message takes on air; ``rate_bps`` instead of the preset's rate."""
    setup_ns = direction.setup.ns if direction.setup else 0
    total_bytes = on_air_bytes(direction, size_bytes)
    if lora := direction.lora:
        seconds = time_on_air_s(
            total_bytes,
            int(lora.spreading_factor.value),
            bandwidth_hz=lora.bandwidth.base,
            coding_rate=int(lora.coding_rate.value),
            preamble_symbols=int(lora.preamble.value),
        )
        return setup_ns + round(seconds * S)
    rate = rate_bps or (direction.rate.base if direction.rate else 0.0)
    return setup_ns + round(8.0 * total_bytes / rate * S)
