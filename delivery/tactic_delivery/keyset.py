"""A set of packets kept as ranges of numbers for each boot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tactic_delivery.entry import PacketKey
from tactic_delivery.ranges import Range, RangeSet


class KeySet:
    """Packet keys; a hundred thousand that lie close together cost a few integers.

    Parameters
    ----------
    ranges : iterable of (boot, first, count)
    """

    __slots__ = ("_boots",)

    def __init__(self, ranges: Iterable[tuple[int, int, int]] = ()) -> None:
        self._boots: dict[int, RangeSet] = {}
        for boot, first, count in ranges:
            self.add_range(boot, first, count)

    def __contains__(self, key: PacketKey) -> bool:
        numbers = self._boots.get(key.boot)
        return numbers is not None and key.pkt in numbers

    def __iter__(self) -> Iterator[PacketKey]:
        """Go through every packet, in rising order."""
        for boot, first, count in self.ranges():
            for pkt in range(first, first + count):
                yield PacketKey(boot, pkt)

    def __len__(self) -> int:
        return sum(count for _, _, count in self.ranges())

    def __bool__(self) -> bool:
        return bool(self._boots)

    @property
    def boots(self) -> list[int]:
        """Boots that packets are of, in rising order."""
        return sorted(self._boots)

    def of(self, boot: int) -> list[Range]:
        """Ranges of one boot, in rising order."""
        return list(self._boots.get(boot, ()))

    def ranges(self) -> Iterator[tuple[int, int, int]]:
        """Go through (boot, first, count), in rising order."""
        for boot in self.boots:
            for first, count in self._boots[boot]:
                yield boot, first, count

    def add(self, key: PacketKey) -> None:
        """Add a packet."""
        self.add_range(*key, 1)

    def add_range(self, boot: int, first: int, count: int) -> None:
        """Add ``count`` packets of a boot."""
        numbers = self._boots.get(boot)
        if numbers is None:
            numbers = self._boots[boot] = RangeSet()
        numbers.add(first, count)

    def discard(self, key: PacketKey) -> None:
        """Take a packet out, if it is there."""
        self.discard_range(*key, 1)

    def discard_range(self, boot: int, first: int, count: int) -> None:
        """Take out what is there of ``count`` packets of a boot."""
        if numbers := self._boots.get(boot):
            numbers.remove(first, count)
            if not numbers:
                del self._boots[boot]

    def clear(self) -> None:
        """Take everything out."""
        self._boots.clear()
