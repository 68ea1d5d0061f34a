"""What is wrong with the node right now, by name; said when it begins and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tactic_device.log import Log


class Alarms:
    """Safe to use from several threads.

    Parameters
    ----------
    log : Log
        Takes ``alarm`` and ``alarm_ended``.
    changed : callable
        Called after every change.
    """

    def __init__(self, log: Log, changed: Callable[[], None]) -> None:
        self._log = log
        self._changed = changed
        self._lock = threading.Lock()
        self._on: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Those that hold now."""
        return self._on

    def set(self, name: str, on: bool, **facts: object) -> None:
        """Say whether an alarm holds; ``facts`` go into the log when it begins."""
        with self._lock:
            if (name in self._on) == on:
                return
            self._on = self._on | {name} if on else self._on - {name}
        if on:
            self._log.warning("alarm", alarm=name, **facts)
        else:
            self._log.info("alarm_ended", alarm=name)
        self._changed()
