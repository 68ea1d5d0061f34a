"""What flows between the rooms: latents, and the one identity of a frame."""

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
class Latent:
    """Quantised output of the encoder, as far as it arrived.

    Attributes
    ----------
    symbols : int8 array (C, H / stride, W / stride)
        In quantisation steps of their channel's level; 0 where it is not there.
    levels : int64 array (C,)
        Rate level of each channel, 0 the finest; the number of levels for one that is not there.
    """

    symbols: NDArray[np.int8]
    levels: NDArray[np.int64]
