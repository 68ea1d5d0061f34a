"""What a node may spend on its link: rate, duty cycle, bytes a day, price.

Asked before every transmission, and told of every one, repetitions included. Alarms are sent on
credit; only the duty cycle, which is law, holds for them too. Normative text:
``docs/delivery.md``, "Rate control".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tactic_delivery import datagrams
from tactic_delivery.budgets import S, SlidingBudget, TokenBucket

ALARM = 3

HOUR_NS = 3600 * S
DAY_NS = 24 * HOUR_NS
_MICRO = 1_000_000
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Budgets:
    """What may be spent; None: no limit.

    Attributes
    ----------
    rate_bps : float or None
        Bits a second in the long run.
    burst_s : float
        So many seconds of it may go at once.
    duty_cycle : float or None
        Share of airtime in any hour, 0 … 1.
    day_bytes : int or None
        Bytes in any 24 hours.
    day_usd : float or None
        Money in any 24 hours.
    usd_per_mb, usd_per_message : float
        Prices; a megabyte has 10⁶ bytes.
    overhead_bytes : int
        What the link adds to each message.
    datagram_bytes : int or None
        A message is a datagram of at most so many bytes; None: it is a packet.
    alarm_share : float
        Share of each budget that only alarms may use, 0 … 1.
    """

    rate_bps: float | None = None
    burst_s: float = 10.0
    duty_cycle: float | None = None
    day_bytes: int | None = None
    day_usd: float | None = None
    usd_per_mb: float = 0.0
    usd_per_message: float = 0.0
    overhead_bytes: int = 0
    datagram_bytes: int | None = None
    alarm_share: float = 0.1


class Allowance:
    """State machine of all budgets of a node.

    Parameters
    ----------
    budgets : Budgets
    airtime_ns : callable (int) -> int
        Time on air of a packet of so many bytes; asked where there is a duty cycle.
    delay_ns : int
        A packet may wait so long between `take` and the end of its transmission, its airtime not
        counted; the duty cycle holds on air all the same.
    """

    def __init__(
        self, budgets: Budgets, airtime_ns: Callable[[int], int], delay_ns: int = 0
    ) -> None:
        self.budgets = budgets
        self._airtime_ns = airtime_ns
        self._rate: TokenBucket | None = None
        if budgets.rate_bps is not None:
            bytes_s = budgets.rate_bps / 8
            self._rate = TokenBucket(bytes_s, bytes_s * budgets.burst_s)
        self._airtime: SlidingBudget | None = None
        if budgets.duty_cycle is not None:
            # A transmission ends after it was booked, and has to have left the window then.
            airtime_ns_an_hour = int(budgets.duty_cycle * HOUR_NS)
            longest_ns = HOUR_NS + delay_ns + airtime_ns_an_hour
            self._airtime = SlidingBudget(airtime_ns_an_hour, longest_ns)
        self._days: list[tuple[SlidingBudget, Callable[[int], int]]] = []
        if budgets.day_bytes is not None:
            self._days.append((SlidingBudget(budgets.day_bytes, DAY_NS), self._on_link))
        if budgets.day_usd is not None:
            most = int(budgets.day_usd * _MICRO)
            self._days.append((SlidingBudget(most, DAY_NS), self._price))

    def earliest_ns(self, now_ns: int, size_bytes: int, alarm: bool) -> int | None:
        """When a packet may be sent, ``now_ns`` or later; None: never, it is too large."""
        times = [now_ns]
        if self._airtime:
            kept = 0 if alarm else self._kept(self._airtime)
            found = self._airtime.earliest_ns(now_ns, self._airtime_ns(size_bytes), kept)
            if found is None:
                return None
            times.append(found)
        if not alarm:
            for budget, cost in self._days:
                found = budget.earliest_ns(now_ns, cost(size_bytes), self._kept(budget))
                if found is None:
                    return None
                times.append(found)
            if self._rate:
                times.append(self._rate.earliest_ns(now_ns, self._on_link(size_bytes)))
        return max(times)

    def take(self, now_ns: int, size_bytes: int) -> None:
        """Book a packet that is sent now."""
        if self._rate:
            self._rate.take(now_ns, self._on_link(size_bytes))
        if self._airtime:
            self._airtime.take(now_ns, self._airtime_ns(size_bytes))
        for budget, cost in self._days:
            budget.take(now_ns, cost(size_bytes))

    def bytes_a_second(self, size_bytes: int) -> float | None:
        """What can go in the long run, of packets of a size, without their overhead; None: all."""
        least = [size_bytes * rate for rate in self._packets_a_second(size_bytes)]
        return min(least, default=None)

    def _packets_a_second(self, size_bytes: int) -> list[float]:
        found = [
            (budget.most - self._kept(budget)) / max(1, cost(size_bytes)) / (budget.window_ns / S)
            for budget, cost in self._sliding()
        ]
        if self._rate:
            found.append(self._rate.a_second / self._on_link(size_bytes))
        return found

    def _sliding(self) -> list[tuple[SlidingBudget, Callable[[int], int]]]:
        airtime = [(self._airtime, self._airtime_ns)] if self._airtime else []
        return [*airtime, *self._days]

    def _kept(self, budget: SlidingBudget) -> int:
        return int(self.budgets.alarm_share * budget.most)

    def _on_link(self, size_bytes: int) -> int:
        budgets = self.budgets
        return datagrams.on_link_bytes(size_bytes, budgets.overhead_bytes, budgets.datagram_bytes)

    def _price(self, size_bytes: int) -> int:
        by_size = self._on_link(size_bytes) * self.budgets.usd_per_mb / _MB
        most_bytes = self.budgets.datagram_bytes
        messages = datagrams.count(size_bytes, most_bytes) if most_bytes else 1
        return int((by_size + messages * self.budgets.usd_per_message) * _MICRO) + 1
