"""A camera or network stream through OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import cv2

from tactic_device.errors import SourceError
from tactic_device.sources.base import Pace, Shot
from tactic_device.sources.files import rgb


class OpenCvCamera:
    """``place`` is the number of a local camera or the URL of a stream."""

    def __init__(self, place: int | str, pace: Pace) -> None:
        self._place = f"/dev/video{place}" if isinstance(place, int) else without_secrets(place)
        self._pace = pace
        self._capture = cv2.VideoCapture(place)
        if not self._capture.isOpened():
            raise SourceError(
                f"{self._place}: camera not found or in use; check source.device or source.url"
            )

    def shots(self) -> Iterator[Shot]:
        """Yield the newest picture whenever one is due."""
        while True:
            # Grab all the time: the driver's buffer would otherwise hand out old pictures.
            if not self._capture.grab():
                raise SourceError(f"{self._place}: camera stopped giving pictures; check it")
            captured_ns = self._pace.clock_ns()
            if self._pace.is_due():
                found, frame = self._capture.retrieve()
                if found:
                    yield Shot(rgb(frame), captured_ns)

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


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
