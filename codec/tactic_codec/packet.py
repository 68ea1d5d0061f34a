"""The 20-byte packet header and its check. Normative text: ``docs/wire-format.md``.

Nothing in a header is a length: its fields only select what the receiver's own bundle declares.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from tactic_codec.errors import PacketError

VERSION = 1
HEADER_BYTES = 20
MAX_PACKET_BYTES = 1 << 20
TIME_UNIT_NS = 10_000_000

_SEALED = 4
_HEADER = struct.Struct("<BBHIIII")


class Kind(IntEnum):
    """What the payload is. Values 3–7 are reserved."""

    FRAME = 0
    PART = 1
    DROP = 2


_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: a header of 20 bytes and a payload.

    Attributes
    ----------
    kind : Kind
    boot, pkt : int
        uint32. (boot, pkt) identifies the packet: acknowledgement, deduplication, nonce.
    bundle : int
        uint16, short id of the bundle whose tables and decoder belong to the payload.
    captured : int
        uint32, capture time since boot in units of 10 ms (497 days). In a PART this field
        carries ``seq``, the number of the frame that the part completes.
    priority : int
        0 (lowest) … 3 (alarm).
    level, geometry : int
        0 … 7, indices into the bundle's levels and geometries. In a PART ``geometry`` carries
        the part index 1 … 7.
    layers : int
        1 … 4, layers coded in the stream that the payload is a piece of; the same in every
        packet of a frame. How many of them arrived, the decoder says.
    sealed : bool
        The payload came encrypted and authenticated, or is so: see `node_key`.
    payload : bytes
    """

    kind: Kind
    boot: int
    pkt: int
    payload: bytes = b""
    bundle: int = 0
    captured: int = 0
    priority: int = 1
    level: int = 0
    geometry: int = 0
    layers: int = 1
    sealed: bool = False

    @property
    def seq(self) -> int:
        """Number of the frame: the packet number of its first packet."""
        return self.captured if self.kind is Kind.PART else self.pkt

    @property
    def part(self) -> int:
        """Part index within the frame; 0 for the packet that opens it."""
        return self.geometry if self.kind is Kind.PART else 0


def pack(packet: Packet) -> bytes:
    """Write a packet; the same packet always gives the same bytes.

    Raises
    ------
    ValueError
        A field is out of its range: a fault of the caller, never of the wire.
    """
    if not (0 <= packet.priority < 4 and 0 <= packet.level < 8 and 0 <= packet.geometry < 8):
        raise ValueError(f"priority, level or geometry out of range in {packet!r}")
    if not 1 <= packet.layers <= 4:
        raise ValueError(f"layers out of range in {packet!r}")
    if HEADER_BYTES + len(packet.payload) > MAX_PACKET_BYTES:
        raise ValueError(f"payload of {len(packet.payload)} bytes exceeds {MAX_PACKET_BYTES}")
    if packet.kind is Kind.PART and not _is_part(packet.seq, packet.pkt, packet.part):
        raise ValueError(f"part index 0, or a part numbered before its frame, in {packet!r}")
    flags = VERSION << 6 | packet.kind << 3 | packet.sealed << 2 | packet.priority
    shape = packet.level << 5 | packet.geometry << 2 | (packet.layers - 1)
    try:
        head = _HEADER.pack(
            flags, shape, packet.bundle, packet.boot, packet.pkt, packet.captured, 0
        )[:16]
    except struct.error as fault:
        raise ValueError(f"header field out of range: {fault}") from fault
    check = zlib.crc32(packet.payload, zlib.crc32(head))
    return head + check.to_bytes(4, "little") + packet.payload


def unpack(data: bytes, sealed: bool = False) -> Packet:
    """Read and check a packet.

    Parameters
    ----------
    data : bytes
    sealed : bool
        Also take sealed packets; their payload is left as it is.

    Raises
    ------
    PacketError
        With ``reason`` ``short``, ``long``, ``version``, ``check``, ``kind``, ``sealed`` or
        ``part``, tested in this order.
    """
    if len(data) < HEADER_BYTES:
        raise PacketError("short", f"{len(data)} bytes, a header has {HEADER_BYTES}")
    if len(data) > MAX_PACKET_BYTES:
        raise PacketError("long", f"{len(data)} bytes, the limit is {MAX_PACKET_BYTES}")
    flags, shape, bundle, boot, pkt, captured, check = _HEADER.unpack_from(data)
    if flags >> 6 != VERSION:
        raise PacketError("version", f"version {flags >> 6}, this program reads {VERSION}")
    payload = bytes(data[HEADER_BYTES:])
    if zlib.crc32(payload, zlib.crc32(data[:16])) != check:
        raise PacketError("check", "CRC-32 differs: damaged in transit or not a packet")
    kind = _KINDS.get(flags >> 3 & 7)
    if kind is None:
        raise PacketError("kind", f"kind {flags >> 3 & 7} is reserved")
    if flags & _SEALED and not sealed:
        raise PacketError("sealed", "it is sealed, and there is no key of this node here")
    if kind == Kind.PART and not _is_part(captured, pkt, shape >> 2 & 7):
        raise PacketError("part", "part index 0, or a part numbered before its frame")
    return Packet(
        kind=kind,
        boot=boot,
        pkt=pkt,
        payload=payload,
        bundle=bundle,
        captured=captured,
        priority=flags & 3,
        level=shape >> 5,
        geometry=shape >> 2 & 7,
        layers=(shape & 3) + 1,
        sealed=bool(flags & _SEALED),
    )


def is_sealed(data: bytes) -> bool:
    """Whether the sealed bit of a packet is set; nothing else is looked at."""
    return bool(data[0] & _SEALED)


def _is_part(seq: int, pkt: int, part: int) -> bool:
    """Whether a PART follows the frame that it completes."""
    return part > 0 and seq < pkt
