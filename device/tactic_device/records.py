"""What the records of an outbox say, and their bytes.

ACCOUNT says where everything stands: ledger, next numbers, and which packets wait. PACKET is a
packet that waits from then on. SETTLED and DROP say what no longer does. Whoever reads a log
starts from its last complete ACCOUNT.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from tactic_codec.drop import Reason
from tactic_delivery.keyset import KeySet
from tactic_delivery.ledger import Ledger
from tactic_delivery.ranges import Range

FORMAT = 2
# So many numbers a log that is synced in batches may miss after a power cut.
UNSYNCED_NUMBERS = 1024

_HEAD = struct.Struct("<BI")
_SETTLED = struct.Struct("<IIII")
_DROP = struct.Struct("<BII")
_COUNT = struct.Struct("<I")
_BOOT = struct.Struct("<II")

DROP_HEAD_BYTES = _DROP.size


class RecordType(IntEnum):
    """What a journal record says."""

    ACCOUNT = 1
    PACKET = 2
    SETTLED = 4
    DROP = 5


@dataclass(frozen=True, slots=True)
class Account:
    """The state of an outbox, as one of its logs knows it.

    Attributes
    ----------
    boot : int
        The running one.
    epoch, base : int
        Number of the time since a log took the lead, and the last one that the disk is known to
        name. A log in memory counts only if the disk names one from ``base`` to ``epoch``.
    leads : bool
        Changes are written to this log; else to the other one, in memory.
    machine : int
        Which start of the machine this was, so that a power cut is noticed.
    spare : int
        So many numbers after the known ones may have been used without a record here.
    ledger : Ledger
    following : dict of int to int
        Next packet number of boots.
    whole : bool
        ``here`` is everything that waits in this log; else that is what it was, without ``gone``.
    here, gone : KeySet
    elsewhere : KeySet
        What waits in the other log.
    parts : KeySet
        The PARTs among all that waits: numbers that are no frames.
    """

    boot: int
    epoch: int
    base: int
    leads: bool
    machine: int
    spare: int
    ledger: Ledger
    following: dict[int, int]
    whole: bool = True
    here: KeySet = field(default_factory=KeySet)
    gone: KeySet = field(default_factory=KeySet)
    elsewhere: KeySet = field(default_factory=KeySet)
    parts: KeySet = field(default_factory=KeySet)

    def pack(self) -> bytes:
        """Write it."""
        facts = {
            "boot": self.boot,
            "epoch": self.epoch,
            "base": self.base,
            "leads": self.leads,
            "machine": self.machine,
            "spare": self.spare,
            "captured": self.ledger.captured,
            "stored": self.ledger.stored,
            "dropped": {int(reason): n for reason, n in self.ledger.dropped.items()},
            "next": self.following,
            "whole": self.whole,
            "parts": list(self.parts.ranges()),
        }
        text = json.dumps(facts).encode()
        sets = (self.here if self.whole else self.gone, self.elsewhere)
        return _HEAD.pack(FORMAT, len(text)) + text + b"".join(map(_pack_keys, sets))

    @classmethod
    def unpack(cls, body: bytes) -> Account:
        """Read it.

        Raises
        ------
        ValueError, KeyError, TypeError, struct.error
            It is of another version.
        """
        form, length = _HEAD.unpack_from(body)
        if form != FORMAT:
            raise ValueError(f"format {form}")
        at = _HEAD.size + length
        facts = json.loads(body[_HEAD.size : at])
        first, at = _unpack_keys(body, at)
        elsewhere, at = _unpack_keys(body, at)
        dropped = {Reason(int(reason)): n for reason, n in facts["dropped"].items()}
        whole = facts["whole"]
        return cls(
            **{name: facts[name] for name in ("boot", "epoch", "base", "leads", "machine")},
            spare=facts["spare"],
            ledger=Ledger(facts["captured"], facts["stored"], Counter(dropped)),
            following={int(boot): number for boot, number in facts["next"].items()},
            whole=whole,
            here=first if whole else KeySet(),
            gone=KeySet() if whole else first,
            elsewhere=elsewhere,
            parts=KeySet(tuple(each) for each in facts.get("parts", ())),
        )


class Settled(NamedTuple):
    """Packets that were acknowledged; ``frames`` of them were held."""

    boot: int
    settled: Range
    frames: int

    def pack(self) -> bytes:
        """Write it."""
        return _SETTLED.pack(self.boot, *self.settled, self.frames)

    @classmethod
    def unpack(cls, body: bytes) -> Settled:
        """Read it."""
        boot, first, count, frames = _SETTLED.unpack(body)
        return cls(boot, Range(first, count), frames)


class Dropped(NamedTuple):
    """How many frames a DROP packet takes out of the ledger, and for which reason."""

    reason: Reason
    newcomers: int
    frames: int

    def pack(self) -> bytes:
        """Write what goes before the packet."""
        return _DROP.pack(*self)

    @classmethod
    def unpack(cls, body: bytes) -> Dropped:
        """Read what goes before the packet."""
        reason, newcomers, frames = _DROP.unpack_from(body)
        return cls(Reason(reason), newcomers, frames)


def _pack_keys(keys: KeySet) -> bytes:
    out = bytearray(_COUNT.pack(len(keys.boots)))
    for boot in keys.boots:
        ranges = keys.of(boot)
        out += _BOOT.pack(boot, len(ranges))
        out += struct.pack(f"<{2 * len(ranges)}I", *(number for r in ranges for number in r))
    return bytes(out)


def _unpack_keys(body: bytes, at: int) -> tuple[KeySet, int]:
    (boots,) = _COUNT.unpack_from(body, at)
    at += _COUNT.size
    keys = KeySet()
    for _ in range(boots):
        boot, count = _BOOT.unpack_from(body, at)
        at += _BOOT.size
        numbers = struct.unpack_from(f"<{2 * count}I", body, at)
        at += 8 * count
        for first, size in zip(numbers[::2], numbers[1::2], strict=True):
            keys.add_range(boot, first, size)
    return keys, at
