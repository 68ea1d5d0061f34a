"""The boot number: a counter on disk and random bits, so that cloned cards do not collide."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

_COUNTER_BITS = 20
_RANDOM_BITS = 12
_FILE = "boot"
_SLOT_BYTES = 32


def next_boot(folder: Path, rng: Random, seen: int) -> int:
    """Count one boot and make its number durable before it is used.

    The file has two lines, which are written in turn and in place: a full disk takes them, and
    a torn one leaves the other.

    Parameters
    ----------
    folder : Path
        Where the counter is kept.
    rng : random.Random
        12 bits are drawn from it.
    seen : int
        Highest boot number in the outbox: the counter goes on from there if its file is lost.

    Returns
    -------
    int
        uint32: 20 bits of counter, then 12 random bits.
    """
    file = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        data = os.pread(file, 2 * _SLOT_BYTES, 0)
        kept = [_read(data[at : at + _SLOT_BYTES]) for at in (0, _SLOT_BYTES)]
        counter = (max(*kept, seen >> _RANDOM_BITS) + 1) % (1 << _COUNTER_BITS)
        slot = kept.index(min(kept))
        os.pwrite(file, _line(counter), slot * _SLOT_BYTES)
        os.fsync(file)
    finally:
        os.close(file)
    return counter << _RANDOM_BITS | rng.getrandbits(_RANDOM_BITS)


def _line(counter: int) -> bytes:
    # Twice, so that half a line is no number.
    return f"{counter:08d} {counter:08d}".ljust(_SLOT_BYTES - 1).encode() + b"\n"


def _read(line: bytes) -> int:
    words = line.split()
    if len(words) == 2 and words[0] == words[1] and words[0].isdigit():
        return int(words[0])
    return 0
