"""Whether the store can take packets: room on its disk, and what became of the last write.

Each change of state is one line in the log. While the state is not ``good``, nodes are told to
wait; it is looked at again until it is good, so nobody has to restart the gateway.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from tactic_gateway.errors import StoreError
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics

#: As long as this after a failure the store is tried again; twice as long where it fails again.
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 8.0
_CALM_S = 60.0
#: More room than this times the least is needed to call a disk free again.
_MARGIN = 1.05


class State(Enum):
    """``LOW``: the disk has less room than it has to keep. ``FAILING``: a write failed."""

    GOOD = "good"
    LOW = "low"
    FAILING = "failing"


class Condition:
    """State of the store; every thread that writes says how that went.

    Parameters
    ----------
    path : Path
        The store's file.
    min_free_bytes : int
        Room that the disk has to keep.
    metrics : Metrics
    log : Log
    free_bytes : callable (Path)
        Room on the disk that holds a path.
    clock_s : callable
        Monotonic time.
    """

    def __init__(
        self,
        path: Path,
        min_free_bytes: int,
        metrics: Metrics,
        log: Log,
        free_bytes: Callable[[Path], int] | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._metrics = metrics
        self._log = log
        self._free_bytes = free_bytes or disk_room
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._state = State.GOOD
        self._pause_s = _FIRST_PAUSE_S
        self._try_s = 0.0
        self._good_s = clock_s() - _CALM_S

    @property
    def state(self) -> State:
        """What it was when it was last looked at."""
        return self._state

    @property
    def good(self) -> bool:
        """Whether packets can be stored."""
        return self._state is State.GOOD

    def failed(self, fault: StoreError) -> None:
        """Note that a read or a write failed."""
        self._metrics.add("store_errors")
        with self._lock:
            if self._state is State.FAILING:
                return
            now_s = self._clock_s()
            soon = now_s - self._good_s < _CALM_S
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S) if soon else _FIRST_PAUSE_S
            self._try_s = now_s + self._pause_s
            remedy = "nodes wait; it goes on by itself once the store can be written"
            self._change(State.FAILING, error=str(fault), remedy=remedy)

    def look(self, attempt: Callable[[], None]) -> None:
        """Look again; call it every second or so.

        Parameters
        ----------
        attempt : callable
            Writes something, or raises `StoreError`.
        """
        if self._state is State.FAILING and self._clock_s() < self._try_s:
            return
        free_bytes = self._free_bytes(self._path)
        margin = 1.0 if self._state is State.GOOD else _MARGIN
        if free_bytes < margin * self._min_free_bytes:
            self._now(State.LOW, free_bytes)
        elif self._state is State.GOOD or self._works(attempt):
            self._now(State.GOOD, free_bytes)

    def _works(self, attempt: Callable[[], None]) -> bool:
        try:
            attempt()
        except StoreError as fault:
            self.failed(fault)
            self._try_s = self._clock_s() + self._pause_s
            return False
        return True

    def _now(self, state: State, free_bytes: int) -> None:
        with self._lock:
            if state is self._state:
                return
            room = {"free_bytes": free_bytes, "min_free_bytes": self._min_free_bytes}
            if state is State.LOW:
                remedy = "nodes wait; free space, or keep less: see [retention]"
                self._change(state, **room, remedy=remedy)
            else:
                self._good_s = self._clock_s()
                self._change(state, **room)

    def _change(self, state: State, **facts: object) -> None:
        former, self._state = self._state, state
        write = self._log.info if state is State.GOOD else self._log.warning
        write(f"store_{state.value}", was=former.value, **facts)


def disk_room(path: Path) -> int:
    """Bytes that may still be written to the disk that holds a path; 0 where it is gone."""
    try:
        room = os.statvfs(path.resolve().parent)
    except OSError:
        return 0
    return room.f_bavail * room.f_frsize
