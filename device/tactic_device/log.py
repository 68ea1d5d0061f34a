"""One JSON object a line: what happened, for a person with `jq` and for a log collector.

Under systemd a line begins with its priority, which the journal takes off and files it under:
``journalctl -p warning`` shows warnings only.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

_PRIORITIES = {"info": "<6>", "warning": "<4>"}


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
        self._priorities = _PRIORITIES if is_journal(self._stream) else {}
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
        text = f"{self._priorities.get(level, '')}{json.dumps(line | fields, default=str)}\n"
        # Where the log's disk is full, the node goes on without one.
        with self._lock, suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


def is_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream leads to systemd's journal."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
