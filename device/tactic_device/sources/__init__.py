"""Where pictures come from: files, or a camera in a process of its own."""

from __future__ import annotations

from tactic_device.config import Source as Settings
from tactic_device.log import Log
from tactic_device.pictures import Clock, Pace, Shot, Wait
from tactic_device.sources.base import Source
from tactic_device.sources.files import Folder, Video
from tactic_device.sources.supervised import Supervised

__all__ = ["Clock", "Shot", "Source", "Wait", "open_source"]


def open_source(settings: Settings, clock_ns: Clock, wait: Wait, log: Log | None = None) -> Source:
    """Open the configured source.

    Parameters
    ----------
    settings : Source
    clock_ns : callable
        Time since boot, nanoseconds.
    wait : callable (seconds) -> bool
        Sleeps; returns True, perhaps early, when the node is to stop.
    log : Log, optional
        Told when a camera is lost, and when it is back.

    Raises
    ------
    SourceError
        Files are not there; one line with the remedy. What a camera lacks is found with its first
        picture: it opens in the background.
    """
    if settings.kind in ("folder", "video"):
        assert settings.path is not None, "the configuration model demands a path"
        files = Folder if settings.kind == "folder" else Video
        return files(settings.path, settings.loop, Pace(settings.fps, clock_ns, wait))
    told = {
        "kind": settings.kind,
        "place": settings.url if settings.device is None else settings.device,
        "fps": settings.fps,
        "settle_frames": settings.settle_frames,
    }
    return Supervised(told, settings.deadline_s, settings.url is not None, wait, log)
