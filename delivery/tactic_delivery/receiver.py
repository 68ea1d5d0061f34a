"""The gateway's half of the protocol: what is settled, and the acknowledgement that says so.

One `Receiver` holds one boot of one node. Normative text: ``docs/delivery.md``, "Receiver".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from tactic_codec import drop
from tactic_codec.drop import DropRecord
from tactic_codec.errors import PacketError
from tactic_codec.packet import Kind, Packet
from tactic_delivery.ack import MAX_RANGES, Ack
from tactic_delivery.ranges import Range, RangeSet

_MOST_CUMULATIVE = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a packet brought.

    Attributes
    ----------
    new : bool
        False for a duplicate, which must not be stored again. It still deserves an
        acknowledgement: the last one may have been lost.
    dropped : tuple of DropRecord
        Numbers that this packet declares given up and that were not settled before.
    """

    new: bool
    dropped: tuple[DropRecord, ...] = ()


class Receiver:
    """Settled packets of one boot.

    Parameters
    ----------
    boot : int
        uint32.
    settled : iterable of (first, count)
        From the store: the numbers of stored packets and the ranges of dropped ones.
    """

    def __init__(self, boot: int, settled: Iterable[tuple[int, int]] = ()) -> None:
        self.boot = boot
        self._settled = RangeSet(settled)
        self._recent: deque[int] = deque(maxlen=MAX_RANGES)

    def __contains__(self, pkt: int) -> bool:
        return pkt in self._settled

    @property
    def ranges(self) -> int:
        """Ranges of settled numbers: one, unless there are gaps."""
        return len(self._settled)

    def record(self, packet: Packet) -> Receipt:
        """Take note of a packet that is being committed.

        The caller sends `ack` only after its commit; if the commit fails, it builds the
        receiver anew from the store.

        Raises
        ------
        PacketError
            A DROP packet that cannot be read, or gives up numbers not yet in use.
        """
        if packet.pkt in self._settled:
            self._touch(packet.pkt)
            return Receipt(new=False)
        records = self._read_drops(packet) if packet.kind is Kind.DROP else ()
        dropped = []
        for r in records:
            for gap in self._settled.missing(r.first, r.count):
                dropped.append(DropRecord(r.reason, gap.first, gap.size))
                self._settled.add(*gap)
        self._settled.add(packet.pkt)
        self._touch(packet.pkt)
        return Receipt(new=True, dropped=tuple(dropped))

    def ack(self, window: int) -> Ack:
        """Say what is settled: the ranges touched most recently, then the newest ones.

        Recent ranges come first, and not simply the highest, because old gaps may stay open for
        ever (another gateway took them): a packet sent again below many gaps must be named too.
        """
        cumulative = min(self._settled.cumulative, _MOST_CUMULATIVE)
        recent = (self._settled.around(pkt) for pkt in reversed(self._recent))
        candidates = [r for r in recent if r] + self._settled.newest(MAX_RANGES)
        ranges: list[Range] = []
        for r in candidates:
            if r.first > 0 and r not in ranges:
                ranges.append(r)
        return Ack(self.boot, cumulative, window, tuple(ranges[:MAX_RANGES]))

    def _touch(self, pkt: int) -> None:
        self._recent.append(pkt)

    def _read_drops(self, packet: Packet) -> tuple[DropRecord, ...]:
        records = drop.unpack(packet.payload)
        for r in records:
            if r.first + r.count > packet.pkt:
                raise PacketError("drop", f"packet {packet.pkt} gives up {r.first}+{r.count}")
        return records
