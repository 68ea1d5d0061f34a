"""One JSON object per line on standard output, one line per event."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO


def _now() -> datetime:
    return datetime.now(UTC)


class Log:
    """Writes events. Every line has ``ts`` (UTC, RFC 3339), ``level`` and ``event``."""

    def __init__(self, stream: TextIO | None = None, now: Callable[[], datetime] = _now) -> None:
        self._stream = stream
        self._now = now
        self._lock = threading.Lock()

    def info(self, event: str, **fields: Any) -> None:
        """Report something an operator may want to know."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Report something that the gateway gets over by itself."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Report something that a person has to mend."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        ts = self._now().isoformat(timespec="milliseconds")
        line = json.dumps({"ts": ts, "level": level, "event": event, **fields}, default=str)
        stream = self._stream or sys.stdout
        # Where the log's disk is full, the gateway goes on without one.
        with self._lock, suppress(OSError):
            stream.write(line + "\n")
            stream.flush()
