"""The process of a camera. Arguments: the descriptors of the line and of the memory.

The settings come over the line, because a URL may hold a password.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from io import FileIO
from typing import Any, Protocol

from tactic_device.cameras.handover import Giver, Room
from tactic_device.errors import SourceError
from tactic_device.pictures import Pace, Shot

_BEAT_S = 0.25
_SETTINGS_BYTES = 1 << 16
_SET_DEATH_SIGNAL = 1


class Camera(Protocol):
    """What each kind of camera offers."""

    def shots(self, room: Room) -> Iterator[Shot]:
        """Yield pictures, each written into memory that ``room`` gives for it."""


def main(line_descriptor: int, memory_descriptor: int) -> None:
    """Give pictures until the node ends or the camera fails."""
    # The node ends it. A driver that never returns must not outlive the node.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    line = socket.socket(fileno=line_descriptor)
    settings = json.loads(line.recv(_SETTINGS_BYTES))
    giver = Giver(line, FileIO(memory_descriptor, "r+"))
    threading.Thread(target=_serve, args=(giver,), daemon=True).start()
    try:
        camera = _open(settings, giver)
        for shot in camera.shots(giver.room):
            giver.put(shot)
        giver.fail("the camera has ended")
    except SourceError as fault:
        giver.fail(str(fault))
    except Exception as fault:  # drivers raise whatever they like; the reason is what counts
        giver.fail(f"{type(fault).__name__}: {' '.join(str(fault).split())}"[:300])


def _serve(giver: Giver) -> None:
    try:
        giver.serve()
    finally:
        os._exit(0)  # the node is gone


def _open(settings: dict[str, Any], giver: Giver) -> Camera:
    def clock_ns() -> int:
        giver.beat()
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wait(seconds: float) -> bool:
        time.sleep(min(seconds, _BEAT_S))
        return False

    pace, settle_frames = Pace(settings["fps"], clock_ns, wait), settings["settle_frames"]
    if settings["kind"] == "picamera2":
        from tactic_device.cameras.picamera import PiCamera

        return PiCamera(settle_frames, pace)
    from tactic_device.cameras.opencv import OpenCvCamera

    return OpenCvCamera(settings["place"], settle_frames, pace)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
