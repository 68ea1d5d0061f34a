"""Heartbeats for the service manager: they stop as soon as one of the node's loops does.

The protocol is that of sd_notify(3): datagrams to the socket that ``NOTIFY_SOCKET`` names. Where
there is none, nothing is sent.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

CAPTURE, UPLINK = "capture", "uplink"

BEAT_S = 1.0

Wait = Callable[[float], bool]


class Heart:
    """Tells the service manager that every loop still turns.

    A loop that has not beaten for half of the watchdog's time holds back the heartbeats of all:
    the manager kills and restarts the node at the latest after one and a half of that time.

    Parameters
    ----------
    notify : callable (text)
        Hands a message to the service manager.
    watchdog_s : float or None
        The manager's patience; None: it does not watch.
    clock_s : callable
        Seconds, from any beginning.
    """

    def __init__(
        self,
        notify: Callable[[str], None],
        watchdog_s: float | None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.notify = notify
        self._watchdog_s = watchdog_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._due_s: dict[str, float] = {}
        self._sent_s = float("-inf")

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Heart:
        """As systemd asks for it: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC``, ``WATCHDOG_PID``."""
        address = environment.get("NOTIFY_SOCKET")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        patience = environment.get("WATCHDOG_USEC", "")
        watched = address and ours and patience.isdecimal() and int(patience)
        return cls(_sender(address), int(patience) / 1e6 if watched else None)

    def beat(self, loop: str, allow_s: float = 0.0) -> None:
        """A loop has come round.

        Parameters
        ----------
        loop : str
        allow_s : float
            How much longer than usual it may take until it comes round again.
        """
        if self._watchdog_s is None:
            return
        with self._lock:
            now_s = self._clock_s()
            self._due_s[loop] = now_s + self._watchdog_s / 2 + allow_s
            alive = all(due_s >= now_s for due_s in self._due_s.values())
            if alive and now_s - self._sent_s >= min(BEAT_S, self._watchdog_s / 4):
                self._sent_s = now_s
                self.notify("WATCHDOG=1")

    def forget(self, loop: str) -> None:
        """A loop has ended, as it should."""
        with self._lock:
            self._due_s.pop(loop, None)

    def beating(self, loop: str, wait: Wait) -> Wait:
        """The same wait, during which the loop counts as alive.

        Other threads than the present one may use it too; their waits tell nothing of the loop.
        """
        owner = threading.get_ident()

        def beat_and_wait(seconds: float) -> bool:
            if threading.get_ident() != owner:
                return wait(seconds)
            while True:
                self.beat(loop)
                step_s = min(seconds, BEAT_S)
                if wait(step_s):
                    return True
                seconds -= step_s
                if seconds <= 0:
                    return False

        return beat_and_wait


def _sender(address: str | None) -> Callable[[str], None]:
    if not address:
        return lambda _text: None
    # A name that begins with @ is in Linux' abstract name space.
    place = "\0" + address[1:] if address.startswith("@") else address

    def send(text: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet:
            # A manager that does not read must not hold up the node.
            outlet.setblocking(False)
            outlet.sendto(text.encode(), place)

    return send
