"""A camera in a process of its own, killed and started again where it hangs or fails."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tactic_device.cameras import handover
from tactic_device.errors import SourceError
from tactic_device.log import Log
from tactic_device.pictures import Shot, Wait

_LOOK_S = 0.1
_KILL_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


class Supervised:
    """Pictures of a camera, for as long as the node runs.

    A camera that hangs is killed and started again; one that fails is started again after a pause,
    which doubles from half a second to half a minute while it gives no picture.

    Parameters
    ----------
    settings : dict
        What `tactic_device.cameras.process` is told.
    deadline_s : float
        Longest time without a sign of life, opening it included, seconds.
    patient : bool
        Also start it again where it has not given any picture yet, as for a stream whose network
        is not there yet. Otherwise that ends the run: it is more likely a wrong setting.
    wait : callable
        Sleeps; says whether the node is to stop.
    log : Log or None
    """

    def __init__(
        self,
        settings: dict[str, Any],
        deadline_s: float,
        patient: bool,
        wait: Wait,
        log: Log | None = None,
    ) -> None:
        self.restarts = 0
        self._settings = settings
        self._deadline_s = deadline_s
        self._patient = patient
        self._wait = wait
        self._log = log
        self._pause_s = FIRST_PAUSE_S
        self._is_lost = False
        # It opens while the node gets ready.
        self._camera = _Camera(settings)

    def shots(self) -> Iterator[Shot]:
        """Yield the camera's pictures.

        Raises
        ------
        SourceError
            It could not be opened the first time.
        """
        while not self._wait(0.0):
            try:
                shot = self._next()
            except SourceError as fault:
                if not self._patient:
                    raise
                if self._restart(str(fault)):
                    return
                continue
            if shot is None:
                return
            self._note_picture()
            yield shot

    def close(self) -> None:
        """End the process."""
        self._camera.kill()

    def _next(self) -> Shot | None:
        """The next picture; None when the node is to stop."""
        silent_s = 0.0
        while not self._wait(0.0):
            # Looks are counted, not a clock: time for which the node itself was stopped is none.
            look_s = min(_LOOK_S, self._deadline_s)
            if shot := self._camera.taker.take(look_s):
                return shot
            silent_s = 0.0 if self._camera.taker.is_alive() else silent_s + look_s
            if silent_s >= self._deadline_s:
                raise SourceError(
                    f"camera gave no sign of life for {self._deadline_s:g} s; check the camera, "
                    "or raise source.deadline_s"
                )
        return None

    def _restart(self, cause: str) -> bool:
        """Start it again after a pause; say whether the node is to stop."""
        self._camera.kill()
        if self._log and not self._is_lost:
            self._log.warning("camera_lost", cause=cause)
        self._is_lost = True
        if self._wait(self._pause_s):
            return True
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self.restarts += 1
        self._camera = _Camera(self._settings)
        return False

    def _note_picture(self) -> None:
        if self._log and self._is_lost:
            self._log.info("camera_back", restarts=self.restarts)
        self._patient, self._is_lost = True, False
        self._pause_s = FIRST_PAUSE_S


class _Camera:
    """The process, and the node's end of the line to it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._line, its_line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._memory = handover.memory()
        self.taker = handover.Taker(self._line, self._memory)
        descriptors = (its_line.fileno(), self._memory.fileno())
        self._line.send(json.dumps(settings).encode())
        with its_line:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tactic_device.cameras.process", *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the node's has one JSON object a line
                env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )

    def kill(self) -> None:
        """End it. One that the kernel does not let go of is left to the kernel."""
        self._line.close()
        self._memory.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_S)
