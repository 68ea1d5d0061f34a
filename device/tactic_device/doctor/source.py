"""The camera, or what stands in for it."""

from __future__ import annotations

import re
import time
from contextlib import closing
from pathlib import Path

from tactic_codec.errors import TacticError
from tactic_device.config import DeviceConfig
from tactic_device.config import Source as Settings
from tactic_device.doctor import remedy
from tactic_device.doctor.base import Case, Check, Finding, fault, good, skipped, with_config
from tactic_device.doctor.storage import lock_holder
from tactic_device.health import boot_clock_ns
from tactic_device.sources import open_source

_MARGIN_S = 10.0
_PICTURE = re.compile(r"^(.*): not a picture")


def there(case: Case, config: DeviceConfig) -> Finding:
    """Whether what the source names is there."""
    source = config.source
    path = source.path
    if source.kind == "folder" and path is not None and not path.is_dir():
        command = f"{remedy.sudo(path)}{remedy.quote('mkdir', '-p', path)}"
        return fault(f"{path}: source.path is no folder", command)
    if source.kind == "video" and path is not None and not path.is_file():
        return fault(f"{path}: source.path is no file", f"cp VIDEO {remedy.quote(path)}")
    camera = Path(f"/dev/video{source.device}")
    if source.device is not None and not camera.exists():
        others = sorted(Path("/dev").glob("video[0-9]*"), key=lambda p: (len(p.name), p.name))
        if others:
            number = others[0].name.removeprefix("video")
            command = remedy.set_key(case.path, "source.device", number)
            return fault(f"{camera} is not there, {others[0]} is", command)
        return fault(f"{camera} is not there; plug the camera in", "v4l2-ctl --list-devices")
    return good(f"source {source.kind}: {_place(source)} is there")


def gives(_case: Case, config: DeviceConfig) -> Finding:
    """Whether the source gives a picture."""
    source = config.source
    if holder := lock_holder(config.outbox.path):
        return skipped(f"the node runs (process {holder}) and has the camera")
    if source.path is not None and not source.path.exists():
        return skipped("the source is not there")
    patience_s = source.deadline_s + _MARGIN_S
    until_s = time.monotonic() + patience_s

    def wait(seconds: float) -> bool:
        left_s = until_s - time.monotonic()
        time.sleep(max(0.0, min(seconds, left_s)))
        return left_s <= 0

    try:
        with closing(open_source(source, boot_clock_ns, wait)) as opened:
            shot = next(iter(opened.shots()), None)
    except TacticError as problem:
        return fault(str(problem), _mend(source, str(problem)))
    if shot is None:
        return fault(f"the source gave no picture for {patience_s:g} s", _mend(source, ""))
    height, width = shot.pixels.shape[:2]
    return good(f"the source gives pictures of {width}x{height}")


def _mend(source: Settings, text: str) -> str:
    if found := _PICTURE.match(text):
        path = Path(found[1])
        return f"{remedy.sudo(path)}{remedy.quote('mv', path, f'{path}.bad')}"
    if source.kind == "folder":
        return f"cp PICTURES {remedy.quote(source.path)}"
    if source.kind == "picamera2":
        if "this numpy" in text:
            return remedy.pip("install", "tactic-edge[device,picamera2]")
        if "picamera2" in text and "install" in text:
            return f"{remedy.as_root()}apt-get install -y python3-picamera2"
        return "rpicam-hello --list-cameras"
    return "v4l2-ctl --list-devices" if source.url is None else remedy.quote("ffprobe", source.url)


def _place(source: Settings) -> object:
    return source.path or (f"/dev/video{source.device}" if source.device is not None else "it")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("source.there", with_config(there)),
    ("source.gives", with_config(gives)),
)
