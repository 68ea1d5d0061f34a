"""What is to be sent next: live packets and backlog, each by class, then by age."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tactic_delivery.entry import Entry, PacketKey

_Order = tuple[int, PacketKey]


@dataclass(slots=True)
class Waiting:
    """A packet without an acknowledgement.

    Attributes
    ----------
    entry : Entry
    live : bool
        It was put while it could be sent at once.
    attempts : int
        How often it was sent.
    sent_ns : int
        When last.
    alone : bool
        Nothing else was on its way then.
    due_ns : int or None
        When it is to be sent again; None while it is not on its way.
    """

    entry: Entry
    live: bool
    attempts: int = 0
    sent_ns: int = 0
    alone: bool = False
    due_ns: int | None = None

    @property
    def order(self) -> _Order:
        """Sort key within live packets, or within backlog."""
        return (-self.entry.priority, self.entry.key)


class Turns:
    """Live packets go first; while both wait, backlog gets what ``live_share`` leaves.

    Parameters
    ----------
    live_share : float
        0 … 1, both exclusive. While both wait, at least this share of the bytes is live.
    find : callable (PacketKey) -> Waiting or None
        Looks a packet up.
    """

    def __init__(self, live_share: float, find: Callable[[PacketKey], Waiting | None]) -> None:
        self._find = find
        self._earned_per_byte = (1.0 - live_share) / live_share
        self._earned_bytes = 0.0
        self._heaps: dict[bool, list[_Order]] = {True: [], False: []}

    def __len__(self) -> int:
        """Places in the queues; some may be out of date."""
        return sum(map(len, self._heaps.values()))

    def push(self, packet: Waiting) -> None:
        """Queue a packet."""
        heapq.heappush(self._heaps[packet.live], packet.order)

    def rebuild(self, packets: Iterable[Waiting]) -> None:
        """Queue these and nothing else."""
        heaps: dict[bool, list[_Order]] = {True: [], False: []}
        for packet in packets:
            heaps[packet.live].append(packet.order)
        for heap in heaps.values():
            heapq.heapify(heap)
        self._heaps = heaps

    def next(self, backlog: bool) -> Waiting | None:
        """Whose turn it is.

        Parameters
        ----------
        backlog : bool
            Whether backlog may be sent at all now.
        """
        live, old = self._first(True), self._first(False)
        if live is None or old is None:
            self._earned_bytes = 0.0
        if old is None or not backlog:
            return live
        if live is None or self._earned_bytes >= old.entry.size_bytes:
            return old
        return live

    def urgent(self, backlog: bool, least_priority: int) -> Waiting | None:
        """The first of a class or higher, live or else, where it may be sent, of the backlog."""
        for live in (True, False) if backlog else (True,):
            packet = self._first(live)
            if packet and packet.entry.priority >= least_priority:
                return packet
        return None

    def take(self, packet: Waiting) -> None:
        """Take out what `next` named: it is being sent."""
        size_bytes = packet.entry.size_bytes
        if self._first(not packet.live):
            self._earned_bytes += self._earned_per_byte * size_bytes if packet.live else -size_bytes
        heapq.heappop(self._heaps[packet.live])

    def _first(self, live: bool) -> Waiting | None:
        heap = self._heaps[live]
        while heap:
            packet = self._find(heap[0][1])
            if packet and packet.due_ns is None and packet.live == live:
                return packet
            heapq.heappop(heap)
        return None
