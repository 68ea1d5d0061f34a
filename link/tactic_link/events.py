"""What is to happen next: in virtual time, in the order of time and then of arrangement."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol

Action = Callable[[], None]


class Timeline(Protocol):
    """A clock that lets things happen at their time; the simulator's, or a real one."""

    @property
    def now_ns(self) -> int:
        """Time since the beginning."""
        ...

    def at(self, when_ns: int, action: Action) -> None:
        """Arrange something; what lies in the past happens as soon as it can."""
        ...


class Events:
    """A clock that jumps from one event to the next.

    Attributes
    ----------
    now_ns : int
        Time since the beginning of the simulation.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._numbers = count()
        self._heap: list[tuple[int, int, Action]] = []

    def at(self, when_ns: int, action: Action) -> None:
        """Arrange something; what lies in the past happens now."""
        heapq.heappush(self._heap, (max(when_ns, self.now_ns), next(self._numbers), action))

    def run(self, end_ns: int) -> None:
        """Let everything before ``end_ns`` happen; then it is ``end_ns``."""
        heap = self._heap
        while heap and heap[0][0] < end_ns:
            self.now_ns, _, action = heapq.heappop(heap)
            action()
        self.now_ns = end_ns


class Alarm:
    """One thing that is to happen once, at a moment that may still move.

    Parameters
    ----------
    events : Timeline
    action : callable
    """

    def __init__(self, events: Timeline, action: Action) -> None:
        self._events = events
        self._action = action
        self._set_ns: int | None = None

    def set(self, when_ns: int | None) -> None:
        """Move it; None: it does not happen."""
        if when_ns is not None and when_ns != self._set_ns:
            self._events.at(when_ns, self._ring)
        self._set_ns = when_ns

    def sooner(self, when_ns: int) -> None:
        """Move it, unless it happens before."""
        if self._set_ns is None or when_ns < self._set_ns:
            self.set(when_ns)

    def _ring(self) -> None:
        if self._set_ns is not None and self._set_ns <= self._events.now_ns:
            self._set_ns = None
            self._action()
