"""Real time as the emulator sees it: an asyncio loop's clock, which may run faster."""

from __future__ import annotations

import asyncio

from tactic_link.events import Action
from tactic_link.windows import S


class RealTime:
    """A `tactic_link.events.Timeline` on the running loop; its time begins at 0.

    Parameters
    ----------
    speed : float
        Seconds of the link for each second of the machine.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self._speed = speed
        self._reached_ns = 0

    @property
    def now_ns(self) -> int:
        """Time of the link, nanoseconds; never goes back."""
        now_ns = int((self._loop.time() - self._start_s) * self._speed * S)
        # A loop rings up to its clock's resolution too soon: then it is as late as was asked for.
        self._reached_ns = max(self._reached_ns, now_ns)
        return self._reached_ns

    def at(self, when_ns: int, action: Action) -> None:
        """Arrange something."""

        def ring() -> None:
            self._reached_ns = max(self._reached_ns, when_ns)
            action()

        self._loop.call_at(self._start_s + when_ns / (S * self._speed), ring)
