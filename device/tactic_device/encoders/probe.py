"""Try one runtime on the bundle's probe frames; run as a program of its own.

An illegal instruction or a crash in a wheel kills this process and not the node. Arguments:
runtime, model, frames.npy, latents.npy, chain, threads. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from tactic_device.encoders.base import load

MOST_LSB = 1
MOST_SHARE = 0.005


def compare(
    runtime: str, model: Path, frames: Path, latents: Path, chain: int, threads: int
) -> str | None:
    """Return why the runtime's latents are not those expected, or None."""
    encoder = load(runtime, model, threads)
    pictures, expected = np.load(frames), np.load(latents)[chain]
    found = np.stack([encoder.encode(picture) for picture in pictures])
    if found.shape != expected.shape:
        return f"latents of shape {found.shape}, expected {expected.shape}"
    off = np.abs(found.astype(np.int16) - expected)
    share = float((off > 0).mean())
    if off.max(initial=0) > MOST_LSB or share > MOST_SHARE:
        return f"{share:.2%} of the latents differ, by up to {off.max()}"
    return None


def _main(runtime: str, model: str, frames: str, latents: str, *numbers: str) -> None:
    started = time.perf_counter()
    try:
        chain, threads = map(int, numbers)
        fault = compare(runtime, Path(model), Path(frames), Path(latents), chain, threads)
    except Exception as error:  # runtimes raise whatever they like; the reason is what counts
        fault = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    print(json.dumps({"fault": fault, "took_s": round(time.perf_counter() - started, 3)}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
