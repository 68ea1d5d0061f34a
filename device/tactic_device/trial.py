"""A bundle at work on trial, while the one before it stands by.

It is rolled back at the first frame that fails or takes too long. A frame that never ends, or a
crash, ends the process: its next start runs the bundle that was in use before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from tactic_codec.packet import Packet
from tactic_device.coder import Coder
from tactic_device.errors import TrialError
from tactic_device.sources import Shot

HANG_S = 20.0
# Not that of a bundle that cannot be used: the service manager has to start the node again.
_EXIT_CODE = 1


class Trial:
    """The time in which a bundle has to prove itself.

    Parameters
    ----------
    coder : Coder
        Of the bundle on trial.
    until_ns : int
        End of the trial, by ``clock_ns``.
    limit_s : float
        Longest time that a frame may take.
    clock_ns : callable
    end : callable (int)
        Ends the process at once.
    """

    def __init__(
        self,
        coder: Coder,
        until_ns: int,
        limit_s: float,
        clock_ns: Callable[[], int],
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self.coder = coder
        self._until_ns = until_ns
        self._limit_s = limit_s
        self._clock_ns = clock_ns
        self._end = end
        self._frames = 0

    @property
    def passed(self) -> bool:
        """Whether it has worked for the whole time."""
        return self._frames > 0 and self._clock_ns() >= self._until_ns

    def encode(self, shot: Shot) -> Packet:
        """Make a packet, and take the time.

        Raises
        ------
        TrialError
            It failed or took too long: roll back.
        """
        watchdog = threading.Timer(HANG_S, self._end, (_EXIT_CODE,))
        watchdog.daemon = True
        watchdog.start()
        began_ns = self._clock_ns()
        try:
            packet = self.coder.encode(shot)
        except Exception as fault:  # a runtime raises whatever it likes
            reason = " ".join(f"{type(fault).__name__}: {fault}".split())[:300]
            raise TrialError(f"the encoder failed on a frame: {reason}") from fault
        finally:
            watchdog.cancel()
        took_s = (self._clock_ns() - began_ns) / 1e9
        if took_s > self._limit_s:
            raise TrialError(f"a frame took {took_s:.2f} s, the limit is {self._limit_s:g} s")
        self._frames += 1
        return packet
