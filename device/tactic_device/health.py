"""What the node says about itself: birth, health, and how far its clock is to be trusted."""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable
from importlib import metadata

from tactic_codec import rans
from tactic_codec.bundle import Bundle
from tactic_device.dispatch import Dispatch

_TIMEX_BYTES = 256
_TIME_ERROR = 5


def boot_clock_ns() -> int:
    """Time since the machine started, nanoseconds, time asleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Frames:
    """Counts frames and their bytes between two health messages."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self.total = 0
        self.payload_bytes = 0
        self._clock_ns = clock_ns
        self._since_ns = clock_ns()
        self._since_total = 0

    def add(self, payload_bytes: int) -> None:
        """Count one frame."""
        self.total += 1
        self.payload_bytes += payload_bytes

    def fps(self) -> float:
        """Return frames a second since the last call."""
        now_ns = self._clock_ns()
        passed_s = (now_ns - self._since_ns) / 1e9
        frames, self._since_total = self.total - self._since_total, self.total
        self._since_ns = now_ns
        return round(frames / passed_s, 3) if passed_s > 0 else 0.0


def birth(
    bundle: Bundle, boot: int, runtime: str, clock_ns: Callable[[], int], sealed: bool
) -> dict[str, object]:
    """Body of the birth message."""
    return {
        "boot": boot,
        "bundle": bundle.codec.id,
        "wire_bundle": bundle.codec.wire_id,
        "capabilities": ["frame", "drop", *(["sealed"] if sealed else [])],
        "versions": {
            "tactic": _version(),
            "python": platform.python_version(),
            "runtime": runtime,
            "rans": rans.backend(),
        },
        "booted_unix_ns": time.time_ns() - clock_ns(),
        "clock": "synchronised" if clock_is_synchronised() else "unknown",
    }


def health(
    dispatch: Dispatch, frames: Frames, sent: dict[str, int], watched: dict[str, object]
) -> dict[str, object]:
    """Body of the health message; ``watched`` is what the monitor says."""
    return {
        "boot": dispatch.boot,
        "fps": frames.fps(),
        "frames": frames.total,
        "payload_bytes": frames.payload_bytes,
        **dispatch.figures(),
        **sent,
        **watched,
    }


def clock_is_synchronised() -> bool:
    """Ask the kernel whether a time service keeps the wall clock right."""
    # Python has no adjtimex(2). Zeroed modes only read; the structure is below 256 bytes.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return bool(0 <= state < _TIME_ERROR)


def _version() -> str:
    try:
        return metadata.version("tactic-edge")
    except metadata.PackageNotFoundError:
        return "unknown"
