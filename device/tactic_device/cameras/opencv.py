"""A camera or network stream through OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import cv2

from tactic_device.cameras.handover import Room
from tactic_device.errors import SourceError
from tactic_device.pictures import Pace, Shot


class OpenCvCamera:
    """``place`` is the number of a local camera or the URL of a stream."""

    def __init__(self, place: int | str, settle_frames: int, pace: Pace) -> None:
        self._place = f"/dev/video{place}" if isinstance(place, int) else without_secrets(place)
        self._settle_frames = settle_frames
        self._pace = pace
        self._capture = cv2.VideoCapture(place)
        if not self._capture.isOpened():
            raise SourceError(
                f"{self._place}: camera not found or in use; check source.device or source.url"
            )

    def shots(self, room: Room) -> Iterator[Shot]:
        """Yield the newest picture whenever one is due."""
        for _ in range(self._settle_frames):
            self._grab()
        while True:
            # Grab all the time: the driver's buffer would otherwise hand out old pictures.
            captured_ns = self._grab()
            if not self._pace.is_due():
                continue
            found, frame = self._capture.retrieve()
            if found:
                pixels = room(*frame.shape[:2])
                # OpenCV's order is blue, green, red. This is the only copy.
                cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, dst=pixels)
                yield Shot(pixels, captured_ns)

    def _grab(self) -> int:
        if not self._capture.grab():
            raise SourceError(f"{self._place}: camera stopped giving pictures; check it")
        return self._pace.clock_ns()


def without_secrets(url: str) -> str:
    """A URL as it may be shown: no user, no password, no query, which often has a token."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the stream"
    return (
        f"{parts.scheme}://{parts.hostname}{port}{parts.path}" if parts.hostname else "the stream"
    )
