"""The boot number: a counter on disk and random bits, so that cloned cards do not collide."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

_COUNTER_BITS = 20
_RANDOM_BITS = 12
_FILE = "boot"


def next_boot(folder: Path, rng: Random, seen: int) -> int:
    """Count one boot and make its number durable before it is used.

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
    path = folder / _FILE
    try:
        kept = int(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        kept = 0
    counter = (max(kept, seen >> _RANDOM_BITS) + 1) % (1 << _COUNTER_BITS)
    partial = path.with_suffix(".new")
    with partial.open("w", encoding="ascii") as file:
        file.write(f"{counter}\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return counter << _RANDOM_BITS | rng.getrandbits(_RANDOM_BITS)
