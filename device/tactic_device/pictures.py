"""What every source of pictures shares: the picture, and the pace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Clock = Callable[[], int]
Wait = Callable[[float], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture as it came.

    Attributes
    ----------
    pixels : uint8 array (H, W, 3)
        RGB, any size. A camera's are overwritten once the next picture is asked for.
    captured_ns : int
        Time since boot, nanoseconds.
    missed : int
        Pictures that were due before it, and that the node had no time for.
    """

    pixels: NDArray[np.uint8]
    captured_ns: int
    missed: int = 0


class Pace:
    """Keeps pictures at least ``1 / fps`` apart; 0 lets all of them through."""

    def __init__(self, fps: float, clock_ns: Clock, wait: Wait) -> None:
        self.clock_ns = clock_ns
        self._wait = wait
        self._interval_ns = int(1e9 / fps) if fps else 0
        self._due_ns: int | None = None

    def is_due(self) -> bool:
        """Say whether it is time for a picture, and count it as taken if so."""
        now_ns = self.clock_ns()
        if self._due_ns is not None and now_ns < self._due_ns:
            return False
        # The rhythm is kept over small delays; a long one does not hurry the next pictures.
        following_ns = (now_ns if self._due_ns is None else self._due_ns) + self._interval_ns
        self._due_ns = following_ns if following_ns > now_ns else now_ns + self._interval_ns
        return True

    def sleep(self) -> bool:
        """Wait until the next picture is due; False when the node is to stop."""
        while not self.is_due():
            assert self._due_ns is not None
            if self._wait(max(0, self._due_ns - self.clock_ns()) / 1e9):
                return False
        return not self._wait(0.0)
