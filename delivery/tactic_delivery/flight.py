"""Packets on their way: sent, and not acknowledged yet."""

from __future__ import annotations

from collections.abc import Iterable

from tactic_delivery.entry import PacketKey
from tactic_delivery.turns import Waiting


class Flight:
    """What was sent and is not late, with its bytes and its share of backlog.

    Attributes
    ----------
    size_bytes : int
        Of all packets on their way.
    backlog, backlog_bytes : int
        Packets on their way that are not live, and their bytes.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self.backlog = 0
        self.backlog_bytes = 0
        self._packets: dict[PacketKey, Waiting] = {}

    def __len__(self) -> int:
        return len(self._packets)

    def __getitem__(self, key: PacketKey) -> Waiting:
        return self._packets[key]

    def launch(self, packet: Waiting, now_ns: int, due_ns: int) -> None:
        """Note that a packet was sent, and when it would be late."""
        packet.attempts += 1
        packet.sent_ns, packet.due_ns = now_ns, due_ns
        packet.alone = not self._packets
        self._packets[packet.entry.key] = packet
        self._count(packet, 1)

    def land(self, key: PacketKey) -> None:
        """A packet is not on its way, or no more."""
        if packet := self._packets.pop(key, None):
            packet.due_ns = None
            self._count(packet, -1)

    def land_all(self) -> None:
        """The connection is gone, and what it carried."""
        for key in list(self._packets):
            self.land(key)

    def of(self, keys: Iterable[PacketKey]) -> list[Waiting]:
        """Those of the packets that are on their way."""
        return [self._packets[key] for key in keys if key in self._packets]

    def late(self, now_ns: int) -> list[Waiting]:
        """Packets that should have been acknowledged by now."""
        return [packet for packet in self._packets.values() if (packet.due_ns or 0) <= now_ns]

    def due_ns(self) -> list[int]:
        """When each packet would be late."""
        return [packet.due_ns or 0 for packet in self._packets.values()]

    def _count(self, packet: Waiting, sign: int) -> None:
        self.size_bytes += sign * packet.entry.size_bytes
        if not packet.live:
            self.backlog += sign
            self.backlog_bytes += sign * packet.entry.size_bytes
