"""The acknowledgement that a gateway sends after its database commit.

Layout, little-endian: version u8 (1), boot u32, cumulative u32, window u16, n u8 (at most 8),
n times (first u32, count u32), CRC-32 of everything before it u32. Normative text:
``docs/delivery.md``, "Acknowledgement".
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

from tactic_delivery.errors import AckError
from tactic_delivery.ranges import NUMBERS, Range

VERSION = 1
MAX_RANGES = 8

_HEAD = struct.Struct("<BIIHB")
_RANGE = struct.Struct("<II")
_CHECK = struct.Struct("<I")

LEAST_BYTES = _HEAD.size + _CHECK.size


@dataclass(frozen=True, slots=True)
class Ack:
    """What the gateway holds of one boot of one node.

    Attributes
    ----------
    boot : int
        uint32.
    cumulative : int
        uint32; every packet number below it is settled: stored, or given up by the node.
    window : int
        uint16; packets of this node the gateway is ready to have on their way.
    ranges : tuple of Range
        Up to 8 further settled ranges above ``cumulative``, disjoint, most recent first.
    """

    boot: int
    cumulative: int
    window: int
    ranges: tuple[Range, ...] = ()

    @property
    def top(self) -> int:
        """The number after the highest settled one."""
        return max((r.stop for r in self.ranges), default=self.cumulative)


def pack(ack: Ack) -> bytes:
    """Write an acknowledgement.

    Raises
    ------
    ValueError
        A field is out of its range or there are more than 8 ranges.
    """
    if len(ack.ranges) > MAX_RANGES:
        raise ValueError(f"{len(ack.ranges)} ranges, at most {MAX_RANGES} fit")
    try:
        body = _HEAD.pack(VERSION, ack.boot, ack.cumulative, ack.window, len(ack.ranges))
        body += b"".join(_RANGE.pack(*r) for r in ack.ranges)
    except struct.error as fault:
        raise ValueError(f"acknowledgement field out of range: {fault}") from fault
    return body + _CHECK.pack(zlib.crc32(body))


def shorten(ack: Ack, most_bytes: int) -> Ack:
    """Take ranges off the end until an acknowledgement fits, or has none left."""
    room = max(0, most_bytes - LEAST_BYTES) // _RANGE.size
    return replace(ack, ranges=ack.ranges[:room])


def unpack(data: bytes) -> Ack:
    """Read and check an acknowledgement.

    Raises
    ------
    AckError
        With ``reason`` ``length``, ``version``, ``check`` or ``ranges``.
    """
    if len(data) < _HEAD.size + _CHECK.size:
        raise AckError("length", f"{len(data)} bytes, the shortest has {_HEAD.size + _CHECK.size}")
    version, boot, cumulative, window, n = _HEAD.unpack_from(data)
    if version != VERSION:
        raise AckError("version", f"version {version}, this program reads {VERSION}")
    expected = _HEAD.size + n * _RANGE.size + _CHECK.size
    if n > MAX_RANGES or len(data) != expected:
        raise AckError("length", f"{len(data)} bytes with {n} ranges")
    if zlib.crc32(data[: -_CHECK.size]) != _CHECK.unpack_from(data, expected - _CHECK.size)[0]:
        raise AckError("check", "CRC-32 differs: damaged in transit or not an acknowledgement")
    ranges = tuple(Range(*_RANGE.unpack_from(data, _HEAD.size + i * _RANGE.size)) for i in range(n))
    _check_ranges(cumulative, ranges)
    return Ack(boot, cumulative, window, ranges)


def _check_ranges(cumulative: int, ranges: tuple[Range, ...]) -> None:
    floor = cumulative
    for r in sorted(ranges):
        if r.size < 1 or r.stop > NUMBERS or r.first <= floor:
            raise AckError("ranges", f"range {r.first}+{r.size} is empty, overlaps or overflows")
        floor = r.stop
