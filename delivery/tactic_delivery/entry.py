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
    expires_ns : int or None
        Monotonic time from which it is no longer wanted; None: never.
    """

    key: PacketKey
    kind: Kind
    priority: int
    size_bytes: int
    expires_ns: int | None = None

    @classmethod
    def of(cls, packet: Packet, expires_ns: int | None = None) -> Entry:
        """Describe a packet. A DROP never expires: it accounts for what was."""
        size_bytes = HEADER_BYTES + len(packet.payload)
        key = PacketKey(packet.boot, packet.pkt)
        wanted_ns = None if packet.kind is Kind.DROP else expires_ns
        return cls(key, packet.kind, packet.priority, size_bytes, wanted_ns)
