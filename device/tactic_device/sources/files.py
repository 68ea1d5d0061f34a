"""Pictures from files: a folder of images, or a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tactic_device.errors import SourceError
from tactic_device.pictures import Pace, Shot

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


class Folder:
    """The images of a folder in the order of their names."""

    restarts = 0

    def __init__(self, path: Path, loop: bool, pace: Pace) -> None:
        if not path.is_dir():
            raise SourceError(f"{path}: no such folder; correct source.path")
        self._files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not self._files:
            raise SourceError(f"{path}: no .jpg or .png files; put pictures there")
        self._loop = loop
        self._pace = pace

    def shots(self) -> Iterator[Shot]:
        """Yield every image once, or for ever."""
        while True:
            for path in self._files:
                if not self._pace.sleep():
                    return
                yield Shot(_read(path), self._pace.clock_ns())
            if not self._loop:
                return

    def close(self) -> None:
        """Nothing is held open between pictures."""


class Video:
    """The frames of a video file."""

    restarts = 0

    def __init__(self, path: Path, loop: bool, pace: Pace) -> None:
        if not path.is_file():
            raise SourceError(f"{path}: no such video file; correct source.path")
        self._path = path
        self._loop = loop
        self._pace = pace
        self._capture = self._open()

    def shots(self) -> Iterator[Shot]:
        """Yield every frame once, or for ever."""
        while self._pace.sleep():
            found, frame = self._capture.read()
            if not found:
                if not self._loop:
                    return
                self._capture.release()
                self._capture = self._open()
                found, frame = self._capture.read()
                if not found:
                    raise SourceError(f"{self._path}: video gives no frames; replace the file")
            yield Shot(_rgb(frame), self._pace.clock_ns())

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise SourceError(f"{self._path}: not a video OpenCV can read; convert it to .mp4")
        return capture


def _rgb(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn OpenCV's blue-green-red order around."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as fault:
        raise SourceError(f"{path}: {fault.strerror}; make the picture readable") from fault
    frame = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if frame is None:
        raise SourceError(f"{path}: not a picture OpenCV can read; remove or replace it")
    return _rgb(frame)
