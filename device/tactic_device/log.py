"""One JSON object a line: what happened, for a person with `jq` and for a log collector."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO


class Log:
    """Writes events to a stream; safe to use from several threads.

    Parameters
    ----------
    stream : text file
        Standard output unless given.
    unix_ns : callable
        Wall clock, nanoseconds.
    """

    def __init__(
        self, stream: TextIO | None = None, unix_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._stream = stream or sys.stdout
        self._unix_ns = unix_ns
        self._lock = threading.Lock()

    def info(self, event: str, **fields: object) -> None:
        """Write something an operator expects."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write something an operator should know; the node goes on."""
        self._write("warning", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        moment = datetime.fromtimestamp(self._unix_ns() / 1e9, UTC)
        line = {"ts": moment.isoformat(timespec="milliseconds"), "level": level, "event": event}
        text = json.dumps(line | fields, default=str) + "\n"
        # Where the log's disk is full, the node goes on without one.
        with self._lock, suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
