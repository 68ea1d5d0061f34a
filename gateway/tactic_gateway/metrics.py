"""Counters since the start of the process, by name."""

from __future__ import annotations

import threading
from collections import Counter


class Metrics:
    """Counters that any thread may raise.

    Names are dotted, for example ``packets``, ``rejected.check`` or ``failed.stream``;
    the README lists them.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Raise a counter."""
        with self._lock:
            self._counts[name] += count

    def snapshot(self) -> dict[str, int]:
        """Every counter that is not zero, in alphabetical order."""
        with self._lock:
            return {name: count for name, count in sorted(self._counts.items()) if count}
