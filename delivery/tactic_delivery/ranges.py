"""A set of packet numbers kept as ranges: a day of packets costs a few integers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NUMBERS = 1 << 32


class Range(NamedTuple):
    """``size`` numbers from ``first`` on; both uint32, size at least 1."""

    first: int
    size: int

    @property
    def stop(self) -> int:
        """The number after the last one."""
        return self.first + self.size


class RangeSet:
    """Sorted, disjoint, non-adjacent ranges of uint32 numbers."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for first, count in ranges:
            self.add(first, count)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._stops[at]

    def __iter__(self) -> Iterator[Range]:
        """Ranges in rising order."""
        for start, stop in zip(self._starts, self._stops, strict=True):
            yield Range(start, stop - start)

    def __len__(self) -> int:
        """Count ranges, not numbers."""
        return len(self._starts)

    @property
    def cumulative(self) -> int:
        """The largest n for which every number below n is in the set."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    def around(self, number: int) -> Range | None:
        """Find the range that holds ``number``, if one does."""
        at = bisect_right(self._starts, number) - 1
        if at < 0 or number >= self._stops[at]:
            return None
        return Range(self._starts[at], self._stops[at] - self._starts[at])

    def newest(self, limit: int) -> list[Range]:
        """Up to ``limit`` ranges, highest numbers first."""
        pairs = zip(self._starts[-limit:], self._stops[-limit:], strict=True)
        return [Range(start, stop - start) for start, stop in pairs][::-1]

    def missing(self, first: int, count: int = 1) -> list[Range]:
        """List the parts of a range that are not in the set, in rising order."""
        found = []
        position, end = first, first + count
        for at in range(bisect_right(self._stops, first), len(self._starts)):
            if self._starts[at] >= end:
                break
            if self._starts[at] > position:
                found.append(Range(position, self._starts[at] - position))
            position = max(position, self._stops[at])
        if position < end:
            found.append(Range(position, end - position))
        return found

    def add(self, first: int, count: int = 1) -> None:
        """Add a range; numbers that are already there stay.

        Raises
        ------
        ValueError
            The range is empty or leaves uint32.
        """
        stop = first + count
        if first < 0 or count < 1 or stop > NUMBERS:
            raise ValueError(f"range of {count} numbers from {first} leaves uint32 or is empty")
        if self._stops and first == self._stops[-1]:
            self._stops[-1] = stop
            return
        left = bisect_left(self._stops, first)
        right = bisect_right(self._starts, stop)
        if left < right:
            first = min(first, self._starts[left])
            stop = max(stop, self._stops[right - 1])
        self._starts[left:right] = [first]
        self._stops[left:right] = [stop]

    def remove(self, first: int, count: int = 1) -> None:
        """Take a range out; numbers that are not there change nothing."""
        stop = first + count
        left = bisect_right(self._stops, first)
        right = bisect_left(self._starts, stop)
        if left >= right:
            return
        pieces = [(self._starts[left], first), (stop, self._stops[right - 1])]
        kept = [(start, end) for start, end in pieces if start < end]
        self._starts[left:right] = [start for start, _ in kept]
        self._stops[left:right] = [end for _, end in kept]
