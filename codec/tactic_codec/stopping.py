"""How SIGTERM and SIGINT end a daemon."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set, in the main thread; afterwards they do as before.

    A handler runs in the main thread, between any two of its instructions: perhaps while that
    holds the lock of the event for which it waits. Setting the event there would wait for itself.
    So a bare thread sets it; one of `threading` takes a lock that the main thread may hold as well.
    """
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: _thread.start_new_thread(stop.set, ()))
        for number in SIGNALS
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
