"""What the state machines know of a packet: everything but its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tactic_codec.packet import HEADER_BYTES, Kind, Packet


class PacketKey(NamedTuple):
    """The identity of a packet of one node; sorts by age."""

    boot: int
    pkt: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One packet that waits for its acknowledgement.

    Attributes
    ----------
    key : PacketKey
    kind : Kind
    priority : int
        0 (given up first) … 3 (alarm).
    size_bytes : int
        Of the whole packet.
    """

    key: PacketKey
    kind: Kind
    priority: int
    size_bytes: int

    @classmethod
    def of(cls, packet: Packet) -> Entry:
        """Describe a packet."""
        size_bytes = HEADER_BYTES + len(packet.payload)
        return cls(PacketKey(packet.boot, packet.pkt), packet.kind, packet.priority, size_bytes)
