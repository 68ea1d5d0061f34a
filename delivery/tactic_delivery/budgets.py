"""Budgets of one quantity: so much in any window, or so much a second."""

from __future__ import annotations

from collections import deque

S = 1_000_000_000

_BINS = 360


class SlidingBudget:
    """At most so much in any window of a length, wherever the window lies.

    What is taken within one 360th of a window is counted together, until the last of it has left
    the window: the memory is bounded, and at most a 360th of the budget stays unused.

    Parameters
    ----------
    most : int
        Of any unit.
    window_ns : int
    """

    def __init__(self, most: int, window_ns: int) -> None:
        self.most = most
        self.window_ns = window_ns
        self._bin_ns = max(1, window_ns // _BINS)
        self._bins: deque[tuple[int, int]] = deque()
        self._sum = 0

    def left(self, now_ns: int) -> int:
        """What may be taken now; negative where more was taken than the budget."""
        while self._bins and self._bins[0][0] + self.window_ns <= now_ns:
            self._sum -= self._bins.popleft()[1]
        return self.most - self._sum

    def earliest_ns(self, now_ns: int, amount: int, kept: int = 0) -> int | None:
        """When ``amount`` may be taken so that ``kept`` are left; None: never."""
        if amount + kept > self.most:
            return None
        lacking = amount + kept - self.left(now_ns)
        free_ns = now_ns
        for end_ns, taken in self._bins:
            if lacking <= 0:
                break
            lacking -= taken
            free_ns = end_ns + self.window_ns
        return free_ns

    def take(self, now_ns: int, amount: int) -> None:
        """Book an amount that counts from now on and until the window has passed ``now_ns``."""
        end_ns = (now_ns // self._bin_ns + 1) * self._bin_ns
        if self._bins and self._bins[-1][0] >= end_ns:
            end_ns, taken = self._bins.pop()
            self._bins.append((end_ns, taken + amount))
        else:
            self._bins.append((end_ns, amount))
        self._sum += amount


class TokenBucket:
    """So much a second, and what was saved up to a depth.

    Parameters
    ----------
    a_second : float
    depth : float
        Most that is saved, and what there is at first; it may be overdrawn.
    """

    def __init__(self, a_second: float, depth: float) -> None:
        self.a_second = a_second
        self.depth = depth
        self._saved = depth
        self._at_ns: int | None = None

    def left(self, now_ns: int) -> float:
        """What may be taken now; negative where it is overdrawn."""
        if self._at_ns is not None:
            passed_s = max(0, now_ns - self._at_ns) / S
            self._saved = min(self.depth, self._saved + passed_s * self.a_second)
        self._at_ns = now_ns
        return self._saved

    def earliest_ns(self, now_ns: int, amount: float) -> int:
        """When ``amount`` may be taken; what is more than the depth, when the bucket is full."""
        lacking = min(amount, self.depth) - self.left(now_ns)
        # Rounded up, so that it is there when its time has come.
        return now_ns + (int(lacking / self.a_second * S) + 1 if lacking > 0 else 0)

    def take(self, now_ns: int, amount: float) -> None:
        """Take an amount, even one that is not there."""
        self._saved = self.left(now_ns) - amount
