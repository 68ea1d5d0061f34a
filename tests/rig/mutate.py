"""Packets that no node sends: valid ones with flipped bits, cut, spliced, or lying lengths."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from random import Random

from tactic_codec.packet import HEADER_BYTES

_EXTREMES = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x01\x00\x00\x80")
#: where a packet has its check, and how long that is; see docs/wire-format.md
_CHECK = slice(HEADER_BYTES - 4, HEADER_BYTES)


def mutated(seeds: Sequence[bytes], rng: Random) -> bytes:
    """One input; half of them have a check that is right again.

    Parameters
    ----------
    seeds : sequence of bytes
        Valid packets.
    rng : random.Random
    """
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 3)):
        rng.choice(_WAYS)(data, seeds, rng)
    if rng.random() < 0.5 and len(data) >= HEADER_BYTES:
        mend(data)
    return bytes(data)


def mend(data: bytearray) -> None:
    """Compute the check of a packet anew."""
    rest = data[: _CHECK.start] + data[_CHECK.stop :]
    data[_CHECK] = zlib.crc32(rest).to_bytes(4, "little")


def _flip(data: bytearray, _seeds: Sequence[bytes], rng: Random) -> None:
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _truncate(data: bytearray, _seeds: Sequence[bytes], rng: Random) -> None:
    del data[rng.randint(0, len(data)) :]


def _splice(data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
    other = rng.choice(seeds)
    data[rng.randint(0, len(data)) :] = other[rng.randint(0, len(other)) :]


def _lie(data: bytearray, _seeds: Sequence[bytes], rng: Random) -> None:
    """Numbers, counts and lengths are anywhere: put an extreme one there."""
    at = rng.randint(0, max(0, len(data) - 4))
    data[at : at + 4] = rng.choice(_EXTREMES)


_WAYS = (_flip, _truncate, _splice, _lie)
