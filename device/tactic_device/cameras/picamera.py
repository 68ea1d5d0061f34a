"""The Raspberry Pi camera. picamera2 comes from apt, so it is looked for only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import numpy as np

from tactic_device.cameras.handover import Room
from tactic_device.errors import SourceError
from tactic_device.pictures import Pace, Shot


class PiCamera:
    """The first camera that libcamera finds."""

    def __init__(self, settle_frames: int, pace: Pace) -> None:
        self._settle_frames = settle_frames
        self._pace = pace
        try:
            module = importlib.import_module("picamera2")
        except ImportError as fault:
            raise SourceError(
                "picamera2 is not installed; apt install python3-picamera2 and make the venv "
                "with --system-site-packages"
            ) from fault
        except ValueError as fault:
            # bookworm's is built for numpy 1, and says so in this way.
            raise SourceError(
                f"picamera2 does not go with this numpy ({fault}); in the environment that runs "
                'tactic: pip install "tactic-edge[device,picamera2]"'
            ) from fault
        try:
            self._camera = module.Picamera2()
            # picamera2 names formats by byte order in memory: BGR888 gives arrays in RGB order.
            wanted = self._camera.create_video_configuration(main={"format": "BGR888"})
            self._camera.configure(wanted)
            self._camera.start()
        except (IndexError, RuntimeError) as fault:
            raise SourceError(
                f"Raspberry Pi camera not found or in use ({fault}); check the ribbon cable and "
                "`rpicam-hello --list-cameras`"
            ) from fault

    def shots(self, room: Room) -> Iterator[Shot]:
        """Yield the newest picture whenever one is due."""
        for _ in range(self._settle_frames):
            self._camera.capture_array("main")
            self._pace.clock_ns()
        while self._pace.sleep():
            frame = self._camera.capture_array("main")
            captured_ns = self._pace.clock_ns()
            pixels = room(*frame.shape[:2])
            np.copyto(pixels, frame)
            yield Shot(pixels, captured_ns)
