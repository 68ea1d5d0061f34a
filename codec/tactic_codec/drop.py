"""The payload of a DROP packet: which packet numbers a node gave up, and why.

Normative text: ``docs/wire-format.md``, "DROP payload".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from operator import attrgetter

from tactic_codec.errors import PacketError

MAX_RECORDS = 16384
NUMBERS = 1 << 32
_MAX_VARINT_BYTES = 5


class Reason(IntEnum):
    """Why packets were given up.

    A receiver reads a value that it does not know as ``OTHER``: the numbers are settled all the
    same.
    """

    OTHER = 0
    #: The outbox had no room left.
    FULL = 1
    #: The stored record failed its check when it was read back.
    DAMAGED = 2
    #: A DROP packet whose records a newer DROP packet repeats.
    REPLACED = 3
    #: Not acknowledged within its deadline.
    EXPIRED = 4
    #: Larger than the broker takes.
    OVERSIZED = 5
    #: The medium refused to keep it.
    STORAGE = 6
    #: In memory only when the power failed.
    LOST = 7
    #: Set aside, used or not: a power failure took the knowledge of it.
    UNKNOWN = 8
    #: Too little had changed since the last frame that was sent; it was never coded.
    GATED = 9
    #: The budgets of the link did not carry it; it was never coded.
    BUDGET = 10
    #: A PART, given up for whatever cause: no frame.
    PART = 11
    #: A camera gave it while the node had no time for it; it was never coded.
    BUSY = 12


@dataclass(frozen=True, slots=True)
class DropRecord:
    """``count`` packet numbers from ``first`` on, given up for one reason.

    Attributes
    ----------
    reason : Reason
    first : int
        uint32.
    count : int
        At least 1; ``first + count`` is at most 2^32.
    """

    reason: Reason
    first: int
    count: int


def pack(records: Sequence[DropRecord]) -> bytes:
    """Write records in the order of their numbers.

    Raises
    ------
    ValueError
        No record, more than ``MAX_RECORDS``, or records that overlap or leave uint32.
    """
    if not 1 <= len(records) <= MAX_RECORDS:
        raise ValueError(f"{len(records)} drop records, allowed are 1 to {MAX_RECORDS}")
    out, floor = bytearray(), 0
    for r in sorted(records, key=attrgetter("first")):
        if r.first < floor or r.count < 1 or r.first + r.count > NUMBERS:
            raise ValueError(f"{r!r} is empty, overlaps another or leaves uint32")
        floor = r.first + r.count
        out.append(r.reason)
        _write_varint(out, r.first)
        _write_varint(out, r.count)
    return bytes(out)


def unpack(payload: bytes) -> tuple[DropRecord, ...]:
    """Read records; only what `pack` writes is accepted, except that reasons may be newer.

    Raises
    ------
    PacketError
        With ``reason`` ``drop``.
    """
    records: list[DropRecord] = []
    at = floor = 0
    while at < len(payload):
        reason = payload[at]
        first, at = _read_varint(payload, at + 1)
        count, at = _read_varint(payload, at)
        if first < floor or count < 1 or first + count > NUMBERS:
            raise PacketError("drop", f"record {first}+{count} is empty, unordered or overflows")
        floor = first + count
        records.append(DropRecord(_REASONS.get(reason, Reason.OTHER), first, count))
        if len(records) > MAX_RECORDS:
            raise PacketError("drop", f"more than {MAX_RECORDS} records")
    if not records:
        raise PacketError("drop", "no record")
    return tuple(records)


_REASONS = {reason.value: reason for reason in Reason}


def _write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read LEB128 in its shortest form; return the value and the place after it."""
    value = 0
    for i, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if byte == 0 and i > 0:
                raise PacketError("drop", "a number has leading zeros")
            return value, at + i + 1
    raise PacketError("drop", "a number is cut short or longer than 5 bytes")
