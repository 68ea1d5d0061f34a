"""Rate control: the level and the bytes that each frame gets, or that it is skipped.

Pure: time is an argument. The device and the simulator run it. Normative text:
``docs/delivery.md``, "Rate control".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tactic_codec.packet import HEADER_BYTES
from tactic_delivery.allowance import ALARM, Allowance
from tactic_delivery.budgets import S, TokenBucket
from tactic_delivery.schedule import Schedule

#: what waits is to be sent within so long, and contacts are looked at so far ahead
HORIZON_NS = 24 * 3600 * S
_BACKLOG_S = 3600.0
_SAVED_FRAMES = 8
_SPENT_OVER_FRAMES = 16
_FIRST_GUESS_BYTES = 1500.0
_FINER = 1.5
_GROWTH = 1.25
_MEMORY = 1 / 16


@dataclass(frozen=True, slots=True)
class Choice:
    """How to code a frame.

    Attributes
    ----------
    level : int
    budget_bytes : int or None
        Most bytes of its packet; None: no limit.
    """

    level: int
    budget_bytes: int | None


class RateControl:
    """State machine that decides about every frame before it is coded.

    Parameters
    ----------
    levels : sequence of int
        Rate levels it may choose, the finest first; as the packets' levels, rising.
    allowance : Allowance
        What may be spent.
    schedule : Schedule or None
        Contacts known beforehand; None: the link is always there.
    most_bytes : int or None
        A packet's limit beside the budgets.
    least_bytes : int
        A frame that would get fewer is skipped.
    """

    def __init__(
        self,
        levels: Sequence[int],
        allowance: Allowance,
        schedule: Schedule | None = None,
        most_bytes: int | None = None,
        least_bytes: int = HEADER_BYTES + 4,
    ) -> None:
        self.levels = tuple(levels)
        self.most_bytes = most_bytes
        self._allowance = allowance
        self._schedule = schedule
        self._least_bytes = least_bytes
        self._mean: dict[int, float] = {}
        self._offered_ns: int | None = None
        self._period_s = 0.0
        self._credit: TokenBucket | None = None

    def choose(self, now_ns: int, priority: int, backlog_bytes: int) -> Choice | None:
        """Decide about a frame; None: it is skipped, since the budgets do not carry it.

        Parameters
        ----------
        now_ns : int
        priority : int
            0 … 3; alarms (3) always go, at the finest level.
        backlog_bytes : int
            Of the packets that wait for an acknowledgement.
        """
        self._offer(now_ns)
        fill = self._fill(now_ns, backlog_bytes)
        if fill is None or priority >= ALARM:
            return Choice(self.levels[0], self.most_bytes)
        credit = self._saved(now_ns, fill)
        # What was saved is spent slowly, on finer levels, so that the budget is used.
        level = self._level(fill * self._period_s + credit / _SPENT_OVER_FRAMES)
        if credit < self._limited(self.size_bytes(level)):
            return None
        budget_bytes = int(credit) if self.most_bytes is None else min(self.most_bytes, int(credit))
        return Choice(level, budget_bytes) if budget_bytes >= self._least_bytes else None

    def note(self, now_ns: int, level: int, size_bytes: int, whole: bool = True) -> None:
        """Learn what a frame has taken.

        Parameters
        ----------
        now_ns, level, size_bytes : int
        whole : bool
            Nothing was cut off, so that the size says what the level takes.
        """
        if self._credit:
            self._credit.take(now_ns, size_bytes)
        known = self._mean.setdefault(level, float(size_bytes))
        if whole:
            self._mean[level] = known + _MEMORY * (size_bytes - known)
        elif size_bytes >= known:
            self._mean[level] = _GROWTH * size_bytes

    def size_bytes(self, level: int) -> float:
        """What a packet of a level takes, as far as is known."""
        if not self._mean:
            return _FIRST_GUESS_BYTES / _FINER ** (level - self.levels[0])
        nearest = min(self._mean, key=lambda known: (abs(known - level), known))
        return float(self._mean[nearest] * _FINER ** (nearest - level))

    def _offer(self, now_ns: int) -> None:
        if self._offered_ns is not None:
            passed_s = max(0, now_ns - self._offered_ns) / S
            weight = _MEMORY if self._period_s else 1.0
            self._period_s += weight * (passed_s - self._period_s)
        self._offered_ns = now_ns

    def _fill(self, now_ns: int, backlog_bytes: int) -> float | None:
        """Bytes a second for new frames; None: no limit is known."""
        size_bytes = round(self._limited(self.size_bytes(self.levels[-1])))
        fill = self._allowance.bytes_a_second(size_bytes)
        schedule = self._schedule
        if schedule and now_ns < schedule.end_ns:
            until_ns = min(now_ns + HORIZON_NS, schedule.end_ns)
            carried = schedule.capacity_bytes(now_ns, until_ns) - backlog_bytes
            by_contacts = max(0.0, carried) / ((until_ns - now_ns) / S)
            return by_contacts if fill is None else min(fill, by_contacts)
        if fill is None:
            return None
        # What waits is paid for first, but an outage does not stop the camera.
        return max(fill / 2, fill - backlog_bytes / _BACKLOG_S)

    def _level(self, share_bytes: float) -> int:
        for level in self.levels:
            if self._limited(self.size_bytes(level)) <= share_bytes:
                return level
        return self.levels[-1]

    def _saved(self, now_ns: int, fill: float) -> float:
        largest_bytes = max(map(self.size_bytes, self.levels))
        depth = _SAVED_FRAMES * max(self._limited(largest_bytes), self._least_bytes)
        if self._credit is None:
            self._credit = TokenBucket(fill, self._limited(self.size_bytes(self.levels[-1])))
        saved = self._credit.left(now_ns)
        self._credit.a_second, self._credit.depth = fill, depth
        return min(saved, depth)

    def _limited(self, size_bytes: float) -> float:
        return size_bytes if self.most_bytes is None else min(size_bytes, float(self.most_bytes))
