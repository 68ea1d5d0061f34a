"""Where pictures come from: one module a kind behind one protocol."""

from __future__ import annotations

from tactic_device.config import Source as Settings
from tactic_device.sources.base import Clock, Pace, Shot, Source, Wait
from tactic_device.sources.camera import OpenCvCamera
from tactic_device.sources.files import Folder, Video
from tactic_device.sources.picamera import PiCamera
from tactic_device.sources.supervised import Supervised

__all__ = ["Clock", "Shot", "Source", "Wait", "open_source"]


def open_source(settings: Settings, clock_ns: Clock, wait: Wait) -> Source:
    """Open the configured source.

    Parameters
    ----------
    settings : Source
    clock_ns : callable
        Time since boot, nanoseconds.
    wait : callable (seconds) -> bool
        Sleeps; returns True, perhaps early, when the node is to stop.

    Raises
    ------
    SourceError
        It is not there; one line with the remedy.
    """
    pace = Pace(settings.fps, clock_ns, wait)
    if settings.kind in ("folder", "video"):
        assert settings.path is not None, "the configuration model demands a path"
        files = Folder if settings.kind == "folder" else Video
        return files(settings.path, settings.loop, pace)
    if settings.kind == "opencv":
        place = settings.device if settings.device is not None else settings.url or ""
        return Supervised(OpenCvCamera(place, pace), settings.deadline_s, wait)
    return Supervised(PiCamera(pace), settings.deadline_s, wait)
