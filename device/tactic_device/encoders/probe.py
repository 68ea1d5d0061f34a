"""Try one runtime on the bundle's probe frames; run as a program of its own.

An illegal instruction or a crash in a wheel kills this process and not the node. Arguments:
runtime, chain, threads, longest time for a frame. Standard input: model, frames and latents
(``.npy``), each after its length (u64, little-endian): bytes that were checked, not names of files
that may change. Prints one JSON object.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import time
from typing import BinaryIO

import numpy as np

from tactic_device.encoders.base import load

MOST_LSB = 1
MOST_SHARE = 0.005

_LENGTH = struct.Struct("<Q")


def pack(*parts: bytes) -> bytes:
    """Put what `compare` needs into the form of standard input."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def unpack(stream: BinaryIO) -> tuple[bytes, bytes, bytes]:
    """Read what `pack` wrote: model, frames, latents."""
    return _part(stream), _part(stream), _part(stream)


def _part(stream: BinaryIO) -> bytes:
    return stream.read(_LENGTH.unpack(stream.read(_LENGTH.size))[0])


def compare(
    runtime: str, model: bytes, frames: bytes, latents: bytes, chain: int, threads: int
) -> str | None:
    """Return why the runtime's latents are not those expected, or None."""
    encoder = load(runtime, model, threads)
    pictures, of_chains = (
        np.load(io.BytesIO(each), allow_pickle=False) for each in (frames, latents)
    )
    expected = of_chains[chain]
    found = np.stack([encoder.encode(picture) for picture in pictures])
    if found.shape != expected.shape:
        return f"latents of shape {found.shape}, expected {expected.shape}"
    off = np.abs(found.astype(np.int16) - expected)
    share = float((off > 0).mean())
    if off.max(initial=0) > MOST_LSB or share > MOST_SHARE:
        return f"{share:.2%} of the latents differ, by up to {off.max()}"
    return None


def measure(runtime: str, model: bytes, frames: bytes, threads: int, limit_s: float) -> str | None:
    """Return why the encoder is too slow, or None; what the first frame takes does not count."""
    encoder = load(runtime, model, threads)
    picture = np.load(io.BytesIO(frames), allow_pickle=False)[0]
    encoder.encode(picture)
    began_s = time.perf_counter()
    encoder.encode(picture)
    took_s = time.perf_counter() - began_s
    return f"a frame took {took_s:.2f} s, the limit is {limit_s:g} s" if took_s > limit_s else None


def _main(runtime: str, *numbers: str) -> None:
    started = time.perf_counter()
    try:
        chain, threads, limit_s = int(numbers[0]), int(numbers[1]), float(numbers[2])
        model, frames, latents = unpack(sys.stdin.buffer)
        fault = compare(runtime, model, frames, latents, chain, threads)
        fault = fault or measure(runtime, model, frames, threads, limit_s)
    except Exception as error:  # runtimes raise whatever they like; the reason is what counts
        fault = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    print(json.dumps({"fault": fault, "took_s": round(time.perf_counter() - started, 3)}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
