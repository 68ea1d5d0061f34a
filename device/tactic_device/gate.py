"""Change gating: which frames of a fixed camera differ enough from the last one that was sent.

It looks at the int8 latents that the encoder has made anyway, with integers only, so that every
CPU decides alike. How much is enough depends on the answer to the last frame, which the gateway
tells: the nearer to another answer, the less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tactic_delivery.margins import HOLDS_NS, LEAST, MOST

#: the margin that counts while nobody tells one
UNTOLD = 0.5

#: a place's distance is counted in such fractions of a step
_FRACTION = 16


class Gate:
    """State machine; time is an argument.

    Parameters
    ----------
    threshold : float
        Least `change` of a frame that is sent, for an answer of margin 1.
    heartbeat_ns : int
        A frame is sent at the latest so long after the one before.
    """

    def __init__(self, threshold: float, heartbeat_ns: int) -> None:
        self._threshold = threshold
        self._heartbeat_ns = heartbeat_ns
        self._sent: NDArray[np.int8] | None = None
        self._sent_ns = 0
        self._margin, self._margin_until_ns = UNTOLD, 0

    def told(self, margin: float, now_ns: int) -> None:
        """Hear how far the latest answer is from another one; see `tactic_delivery.margins`."""
        self._margin, self._margin_until_ns = min(max(margin, LEAST), MOST), now_ns + HOLDS_NS

    def opens(self, latent: NDArray[np.int8], now_ns: int) -> bool:
        """Whether a frame is to be sent."""
        sent = self._sent
        if sent is None or sent.shape != latent.shape:
            return True
        if now_ns - self._sent_ns >= self._heartbeat_ns:
            return True
        margin = self._margin if now_ns < self._margin_until_ns else UNTOLD
        return change(latent, sent) >= self._threshold * margin

    def note(self, latent: NDArray[np.int8], now_ns: int) -> None:
        """A frame is sent: later ones are compared with it."""
        self._sent, self._sent_ns = latent, now_ns


def change(latent: NDArray[np.int8], other: NDArray[np.int8]) -> float:
    """How much two latents differ: the distance of both at a place, mean over all places.

    Parameters
    ----------
    latent, other : int8 array (C, h, w)

    Returns
    -------
    float
        In steps of quantisation: the root of the sum of squares over the channels.
    """
    difference = latent.astype(np.int32) - other
    squares = np.einsum("chw,chw->hw", difference, difference).astype(np.int64)
    # Roots of whole numbers this small are exact to the last bit, and whole again once cut off.
    distances = np.sqrt(squares * _FRACTION**2).astype(np.int64)
    return float(int(distances.sum()) / (_FRACTION * distances.size))
