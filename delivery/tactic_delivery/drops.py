"""DROP packets: what a node gives up, written so that few of them wait at any time.

A new DROP packet replaces the one before it of the same boot and repeats its records, as long as
that has few; so there is usually one a boot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet
from tactic_delivery.entry import PacketKey
from tactic_delivery.ranges import RangeSet

# A DROP packet with so many records is repeated no more, so that every one stays a few kilobytes.
MOST_IN_DROP = 256


@dataclass(frozen=True, slots=True)
class Drop:
    """A decision to give packets up.

    Attributes
    ----------
    packet : Packet
        Kind DROP; names what is given up, and replaces the DROP packets it repeats.
    reason : Reason
    newcomers : int
        Frames among them that were never put: captured and dropped at once.
    removed : tuple of PacketKey
        What leaves the outbox.
    frames : int
        Frames among ``removed``.
    turned_away : bool
        A packet that was about to be put is among what is given up.
    """

    packet: Packet
    reason: Reason
    newcomers: int
    removed: tuple[PacketKey, ...]
    frames: int
    turned_away: bool = False


class DropBook:
    """The DROP packets that wait, and what they say."""

    def __init__(self) -> None:
        self._latest: dict[int, PacketKey] = {}
        self._records: dict[PacketKey, tuple[DropRecord, ...]] = {}

    @property
    def keys(self) -> list[PacketKey]:
        """Of the packets that wait."""
        return list(self._records)

    def hold(self, key: PacketKey, records: tuple[DropRecord, ...]) -> None:
        """Note a DROP packet that waits from now on."""
        self._records[key] = records
        if key >= self._latest.get(key.boot, key):
            self._latest[key.boot] = key

    def let_go(self, key: PacketKey) -> None:
        """Note that a packet no longer waits."""
        self._records.pop(key, None)
        if self._latest.get(key.boot) == key:
            del self._latest[key.boot]

    def write(
        self, key: PacketKey, gone: Iterable[DropRecord], broken: Iterable[PacketKey], merge: bool
    ) -> tuple[Packet, list[PacketKey]]:
        """Write a DROP packet.

        Parameters
        ----------
        key : PacketKey
            Its own.
        gone : iterable of DropRecord
            What it is about.
        broken : iterable of PacketKey
            DROP packets that cannot be sent as they are.
        merge : bool
            Replace the latest one of the boot too, if that has few records.

        Returns
        -------
        Packet
        list of PacketKey
            The DROP packets that it replaces.
        """
        former = {name for name in broken if name in self._records}
        latest = self._latest.get(key.boot) if merge else None
        if latest and len(self._records[latest]) <= MOST_IN_DROP:
            former.add(latest)
        records = [r for name in former for r in self._records[name]]
        records += [DropRecord(Reason.REPLACED, name.pkt, 1) for name in former]
        payload = drop.pack(_merged([*records, *gone]))
        return Packet(Kind.DROP, *key, payload), sorted(former)


def pieces(keys: Iterable[PacketKey]) -> Iterator[list[PacketKey]]:
    """Cut packets of one boot into as few lists as there must be DROP packets."""
    piece: list[PacketKey] = []
    records = 0
    for key in sorted(keys):
        records += not piece or piece[-1].pkt + 1 != key.pkt
        if records > MOST_IN_DROP:
            yield piece
            piece, records = [], 1
        piece.append(key)
    if piece:
        yield piece


def _merged(records: Iterable[DropRecord]) -> list[DropRecord]:
    """Join what belongs together; of a number named twice, the first reason counts."""
    named, by_reason = RangeSet(), dict[Reason, RangeSet]()
    for r in records:
        for gap in named.missing(r.first, r.count):
            by_reason.setdefault(r.reason, RangeSet()).add(*gap)
        named.add(r.first, r.count)
    return [DropRecord(reason, *r) for reason, ranges in by_reason.items() for r in ranges]
