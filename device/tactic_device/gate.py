"""Change gating: which frames of a fixed camera differ enough from the last one that was sent.

It looks at the int8 latents that the encoder has made anyway, with integers only, so that every
CPU decides alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Gate:
    """State machine; time is an argument.

    Parameters
    ----------
    threshold : float
        Least `change` of a frame that is sent.
    heartbeat_ns : int
        A frame is sent at the latest so long after the one before.
    """

    def __init__(self, threshold: float, heartbeat_ns: int) -> None:
        self._threshold = threshold
        self._heartbeat_ns = heartbeat_ns
        self._sent: NDArray[np.int8] | None = None
        self._sent_ns = 0

    def opens(self, latent: NDArray[np.int8], now_ns: int) -> bool:
        """Whether a frame is to be sent."""
        sent = self._sent
        if sent is None or sent.shape != latent.shape:
            return True
        if now_ns - self._sent_ns >= self._heartbeat_ns:
            return True
        return change(latent, sent) >= self._threshold

    def note(self, latent: NDArray[np.int8], now_ns: int) -> None:
        """A frame is sent: later ones are compared with it."""
        self._sent, self._sent_ns = latent, now_ns


def change(latent: NDArray[np.int8], other: NDArray[np.int8]) -> float:
    """How much two latents differ: the steps of quantisation, over all places, a place.

    Parameters
    ----------
    latent, other : int8 array (C, h, w)
    """
    difference = np.abs(latent.astype(np.int16) - other.astype(np.int16))
    places = latent.shape[-1] * latent.shape[-2]
    return float(int(difference.sum(dtype=np.int64)) / places)
