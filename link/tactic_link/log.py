"""One JSON object a line on standard output, as the other daemons write it."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO


class Log:
    """Writes events. Every line has ``ts`` (UTC, RFC 3339), ``level`` and ``event``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()

    def info(self, event: str, **fields: Any) -> None:
        """Report something that an operator expects."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Report something that an operator should know; the daemon goes on."""
        self._write("warning", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        ts = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"ts": ts, "level": level, "event": event, **fields}, default=str)
        # Where the log's disk is full, the daemon goes on without one.
        with self._lock, suppress(OSError):
            self._stream.write(line + "\n")
            self._stream.flush()
