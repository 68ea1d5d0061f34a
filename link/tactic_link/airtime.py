"""Budgets of airtime: no more than so much of it in any window, wherever the window lies."""

from __future__ import annotations

from collections import deque


class AirtimeBudget:
    """A duty cycle, or the fair use of a network, exact for every sliding window.

    The window that holds most airtime ends where a transmission ends, so it is enough that each
    transmission fits into the window that ends with it.

    Parameters
    ----------
    airtime_ns : int
        Allowed in a window.
    window_ns : int
    """

    def __init__(self, airtime_ns: int, window_ns: int) -> None:
        self._airtime_ns = airtime_ns
        self._window_ns = window_ns
        self._sent: deque[tuple[int, int]] = deque()
        self._sum_ns = 0

    def earliest_ns(self, now_ns: int, length_ns: int) -> int | None:
        """When a transmission of ``length_ns`` may begin; None if it is longer than the budget."""
        if length_ns > self._airtime_ns:
            return None
        from_ns = now_ns + length_ns - self._window_ns
        over_ns = self._since(from_ns) + length_ns - self._airtime_ns
        moved_ns = from_ns
        for start_ns, end_ns in self._sent:
            if over_ns <= 0:
                break
            # The window moves until enough of what was sent lies before it.
            begin_ns = max(start_ns, from_ns)
            gone_ns = min(over_ns, end_ns - begin_ns)
            moved_ns = begin_ns + gone_ns
            over_ns -= gone_ns
        return now_ns + moved_ns - from_ns

    def take(self, start_ns: int, length_ns: int) -> None:
        """Book a transmission; they come in the order of time."""
        self._sent.append((start_ns, start_ns + length_ns))
        self._sum_ns += length_ns

    def _since(self, moment_ns: int) -> int:
        """Airtime booked from a moment on; what ended before it is forgotten."""
        while self._sent and self._sent[0][1] <= moment_ns:
            start_ns, end_ns = self._sent.popleft()
            self._sum_ns -= end_ns - start_ns
        part_ns = max(0, moment_ns - self._sent[0][0]) if self._sent else 0
        return self._sum_ns - part_ns
