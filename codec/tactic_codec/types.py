"""What flows between the rooms: frames, latents and their one identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, order=True)
class FrameKey:
    """The identity of a frame from the camera to the web page.

    Attributes
    ----------
    node : str
        ``[a-z0-9_-]{1,32}``, not beginning with ``_``.
    boot : int
        uint32; numbering restarts with every boot.
    seq : int
        uint32; rises with every captured frame, not necessarily by one.
    """

    node: str
    boot: int
    seq: int

    def __str__(self) -> str:
        return f"{self.node}/{self.boot:08x}/{self.seq}"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a camera.

    Attributes
    ----------
    pixels : uint8 array (H, W, 3)
        RGB.
    captured_ns : int
        Monotonic time since boot, nanoseconds.
    key : FrameKey
    """

    pixels: NDArray[np.uint8]
    captured_ns: int
    key: FrameKey


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """Quantised output of the encoder; exactly what the entropy coder carries.

    Attributes
    ----------
    symbols : int8 array (C, H / stride, W / stride)
    bundle : int
        uint16, the short id of the bundle that made it.
    level : int
        Rate level, an index into the bundle's levels.
    layers : int
        Number of layers present, counted from the base layer, 1 … the bundle's number of layers.
    """

    symbols: NDArray[np.int8]
    bundle: int
    level: int = 0
    layers: int = 1
