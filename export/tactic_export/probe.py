"""Probe frames: synthetic pictures whose latents every runtime must reproduce."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAMES = 2
SIDE_PX = 128


def probe_frames() -> NDArray[np.uint8]:
    """Gradients, edges and noise in all colours, always the same; uint8 (2, 128, 128, 3)."""
    rng = np.random.default_rng(20_000)
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    frames = []
    for number in range(FRAMES):
        angles = rng.uniform(0, np.pi, 3)
        periods = rng.uniform(2, 12, 3)
        waves = [
            np.sin(2 * np.pi * p * (x * np.cos(a) + y * np.sin(a)))
            for a, p in zip(angles, periods, strict=True)
        ]
        picture = 128 + 70 * np.stack(waves, axis=2) + rng.normal(0, 12, (SIDE_PX, SIDE_PX, 3))
        picture[32 : 64 + 16 * number, 40:88] = rng.integers(0, 256, 3)
        frames.append(np.clip(np.round(picture), 0, 255).astype(np.uint8))
    return np.stack(frames)
