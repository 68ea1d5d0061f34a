"""Packets over links that carry small datagrams and no IP: LoRaWAN, Iridium SBD, CCSDS.

The first datagram of a packet is simply its beginning, so a packet that fits costs nothing more.
Each further one begins with five bytes: where in the packet its bytes belong, and the first two
bytes of the packet's check, by which the ground finds the packet. An empty datagram carries
nothing: it only gives the ground a chance to answer. Normative text: ``docs/wire-format.md``,
"Datagrams".
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from tactic_codec.errors import PacketError
from tactic_codec.packet import HEADER_BYTES, MAX_PACKET_BYTES, VERSION

CONTINUATION_BYTES = 5
LEAST_DATAGRAM_BYTES = HEADER_BYTES + 4
POLL = b""

_CHECK_AT = 16
_TAG_BYTES = 2
_LAST = 0x20


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one datagram brings.

    Attributes
    ----------
    tag : int
        uint16, the first two bytes of the packet's check.
    offset : int
        Where in the packet its bytes belong; 0 for the beginning.
    data : bytes
    last : bool
        The packet ends with it. A beginning does not know.
    """

    tag: int
    offset: int
    data: bytes
    last: bool = False

    @property
    def stop(self) -> int:
        """The offset after its last byte."""
        return self.offset + len(self.data)


def cut(packet: bytes, most_bytes: int) -> list[bytes]:
    """Cut a packet into datagrams.

    Parameters
    ----------
    packet : bytes
        Whole, with its header.
    most_bytes : int
        What one datagram may carry, at least ``LEAST_DATAGRAM_BYTES``.

    Raises
    ------
    ValueError
        Less than a packet's header would fit into a datagram.
    """
    if most_bytes < LEAST_DATAGRAM_BYTES:
        raise ValueError(f"datagrams of {most_bytes} bytes; the least is {LEAST_DATAGRAM_BYTES}")
    datagrams = [packet[:most_bytes]]
    step = most_bytes - CONTINUATION_BYTES
    tag = packet[_CHECK_AT : _CHECK_AT + _TAG_BYTES]
    for offset in range(most_bytes, len(packet), step):
        last = _LAST * (offset + step >= len(packet))
        head = bytes((last | offset >> 16,)) + (offset & 0xFFFF).to_bytes(2, "little")
        datagrams.append(head + tag + packet[offset : offset + step])
    return datagrams


def count(size_bytes: int, most_bytes: int) -> int:
    """How many datagrams `cut` makes of a packet of so many bytes."""
    return 1 + max(0, -(-(size_bytes - most_bytes) // (most_bytes - CONTINUATION_BYTES)))


def on_link_bytes(size_bytes: int, overhead_bytes: int, most_bytes: int | None) -> int:
    """Bytes of a packet with what the link adds.

    Parameters
    ----------
    size_bytes : int
        Of the packet.
    overhead_bytes : int
        What the link adds to a message.
    most_bytes : int or None
        A message is a datagram of at most so many bytes; None: it is the packet.
    """
    messages = count(size_bytes, most_bytes) if most_bytes else 1
    return size_bytes + messages * overhead_bytes + (messages - 1) * CONTINUATION_BYTES


def read(datagram: bytes) -> Fragment | None:
    """Read a datagram from a node; None for an empty one.

    Raises
    ------
    PacketError
        With ``reason`` ``short``, ``long`` or ``version``.
    """
    if datagram == POLL:
        return None
    version = datagram[0] >> 6
    if version == VERSION:
        if len(datagram) < HEADER_BYTES:
            raise PacketError("short", f"a beginning of {len(datagram)} bytes")
        tag = int.from_bytes(datagram[_CHECK_AT : _CHECK_AT + _TAG_BYTES], "little")
        return Fragment(tag, 0, datagram)
    if version:
        raise PacketError("version", f"version {version}, this program reads {VERSION}")
    if len(datagram) <= CONTINUATION_BYTES:
        raise PacketError("short", f"a continuation of {len(datagram)} bytes")
    offset = (datagram[0] & _LAST - 1) << 16 | int.from_bytes(datagram[1:3], "little")
    tag = int.from_bytes(datagram[3:CONTINUATION_BYTES], "little")
    last = bool(datagram[0] & _LAST)
    fragment = Fragment(tag, offset, datagram[CONTINUATION_BYTES:], last)
    if not HEADER_BYTES <= offset < fragment.stop <= MAX_PACKET_BYTES:
        raise PacketError("long", f"a continuation of bytes {offset} to {fragment.stop}")
    return fragment


def is_whole(packet: bytes) -> bool:
    """Whether the bytes are a packet to its end: its check agrees."""
    return len(packet) >= HEADER_BYTES and packet[_CHECK_AT:HEADER_BYTES] == _check(packet)


def with_check(packet: bytes) -> bytes:
    """The same packet with the check that its bytes now have."""
    return packet[:_CHECK_AT] + _check(packet) + packet[HEADER_BYTES:]


def _check(packet: bytes) -> bytes:
    found = zlib.crc32(packet[HEADER_BYTES:], zlib.crc32(packet[:_CHECK_AT]))
    return found.to_bytes(4, "little")
