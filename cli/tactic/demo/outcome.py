"""What became of one frame of the demo, and the summary of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class FrameOutcome:
    """One frame from the camera to the answer.

    Attributes
    ----------
    name : str
    original : uint8 array (H, W, 3)
        The frame as the device encodes it.
    reconstruction : uint8 array (H, W, 3), or None where the frame was lost
    clean_label : str
        The head's answer on the original.
    label, score : the gateway's answer; None where the frame was lost
    agrees : bool
    wire_bytes : int or None
        Of all its packets, headers included.
    latency_ms : float or None
        From reception to result, on the gateway.
    jpeg_bytes, webp_bytes : int or None
        The smallest whole file that keeps the clean answer.
    """

    name: str
    original: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8] | None
    clean_label: str
    label: str | None
    score: float | None
    agrees: bool
    wire_bytes: int | None
    latency_ms: float | None
    jpeg_bytes: int | None
    webp_bytes: int | None

    def line(self) -> str:
        """One line for a person to read."""
        if self.label is None or self.wire_bytes is None:
            return f"{self.name:<24} LOST"
        mark = "agrees " if self.agrees else f"differs ({self.clean_label})"
        return (
            f"{self.name:<24} {self.wire_bytes:>5} B  {self.label[:24]:<24} {self.score:>4.0%}  "
            f"{mark:<8} JPEG {_size(self.jpeg_bytes)}  WebP {_size(self.webp_bytes)}  "
            f"{self.latency_ms:>4.0f} ms"
        )


def _size(size: int | None) -> str:
    return "none  " if size is None else f"{size:>4} B"


def summarise(
    outcomes: Sequence[FrameOutcome], duplicates: int, seconds: float, broker: str
) -> dict[str, int | float | str | None]:
    """Build the JSON object of ``tactic demo --json``.

    The three ``*_same_answer`` are means over the frames on which tactic agrees and every rival
    has a file that does.
    """
    arrived = [o for o in outcomes if o.wire_bytes is not None]
    both = [o for o in arrived if o.agrees and o.jpeg_bytes and o.webp_bytes]
    return {
        "frames": len(outcomes),
        "results": len(arrived),
        "lost": len(outcomes) - len(arrived),
        "duplicates": duplicates,
        "agreement": round(sum(o.agrees for o in outcomes) / len(outcomes), 4),
        "bytes_per_frame": _mean([o.wire_bytes for o in arrived]),
        "bytes_same_answer": _mean([o.wire_bytes for o in both]),
        "jpeg_bytes_same_answer": _mean([o.jpeg_bytes for o in both]),
        "webp_bytes_same_answer": _mean([o.webp_bytes for o in both]),
        "seconds": round(seconds, 1),
        "broker": broker,
    }


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if known else None
