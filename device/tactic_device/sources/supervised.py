"""A deadline for cameras: some drivers block for ever instead of failing."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from tactic_device.errors import SourceError
from tactic_device.sources.base import Shot, Source, Wait

_LOOK_S = 0.1


class Supervised:
    """Runs a source in a thread of its own and gives up on it when it stays silent.

    Parameters
    ----------
    source : Source
    deadline_s : float
        Longest silence, seconds.
    wait : callable
        ``wait(0)`` says whether the node is to stop.
    """

    def __init__(self, source: Source, deadline_s: float, wait: Wait) -> None:
        self._source = source
        self._deadline_s = deadline_s
        self._wait = wait
        # One place only: while the node is busy the camera waits, and pictures stay fresh.
        self._queue: queue.Queue[Shot | Exception | None] = queue.Queue(1)
        self._closed = threading.Event()
        # A daemon, because a blocked driver cannot be told to stop.
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def shots(self) -> Iterator[Shot]:
        """Yield the source's pictures."""
        self._thread.start()
        silent_s = 0.0
        while not self._wait(0.0):
            try:
                item = self._queue.get(timeout=min(_LOOK_S, self._deadline_s))
            except queue.Empty:
                silent_s += min(_LOOK_S, self._deadline_s)
                if silent_s >= self._deadline_s:
                    raise SourceError(
                        f"camera gave no picture for {self._deadline_s:g} s; check the camera, "
                        "or raise source.deadline_s"
                    ) from None
                continue
            silent_s = 0.0
            if isinstance(item, Exception):
                raise item
            if item is None:
                return
            yield item

    def close(self) -> None:
        """Stop the thread if it can be stopped, then the camera."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            self._source.close()

    def _read(self) -> None:
        try:
            for shot in self._source.shots():
                if not self._offer(shot):
                    return
            self._offer(None)
        except Exception as fault:
            self._offer(fault)

    def _offer(self, item: Shot | Exception | None) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False
