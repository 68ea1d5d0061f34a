"""What the service consists of: its files, folders and user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

USER = "tactic"
GROUPS = ("video",)
SERVICE = "tactic-device.service"
UNIT = Path("etc/systemd/system") / SERVICE
WANTED = Path("etc/systemd/system/multi-user.target.wants") / SERVICE
USERS = Path("etc/sysusers.d/tactic.conf")
SETTINGS = Path("etc/tactic")
CONFIG = SETTINGS / "device.toml"
RECORD = SETTINGS / "installed.json"
STATE = Path("var/lib/tactic")
BUNDLE = STATE / "bundle"
RUNTIME = Path("run/tactic")

_EXEC = re.compile(r"^ExecStart=(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Choices:
    """What goes into a new configuration.

    Attributes
    ----------
    site, node : str
    host : str
        Of the broker.
    source : str
        Kind of camera.
    """

    site: str
    node: str
    host: str
    source: str


@dataclass(frozen=True, slots=True)
class File:
    """A file to write.

    Attributes
    ----------
    text : str
    mode : int
    """

    text: str
    mode: int = 0o644


def unit(tactic: Path) -> str:
    """The unit for a ``tactic`` command that lies where it is told."""
    return _text(SERVICE).replace("@TACTIC@", str(tactic))


def command_of(unit_text: str) -> Path | None:
    """Where a unit finds the ``tactic`` command."""
    found = _EXEC.search(unit_text)
    return Path(found[1]) if found else None


def users() -> str:
    """The service's user, as systemd-sysusers(8) takes it."""
    lines = [f'u {USER} - "tactic camera node" /{STATE} /usr/sbin/nologin']
    return "\n".join([*lines, *(f"m {USER} {group}" for group in GROUPS)]) + "\n"


def config(choices: Choices) -> str:
    """A configuration to begin with."""
    places = {
        "folder": 'path = "/var/lib/tactic/pictures"\n',
        "video": 'path = "/var/lib/tactic/video.mp4"\n',
        "opencv": "device = 0\n",
        "picamera2": "",
    }
    text = _text("device.toml")
    for name, value in {
        "SITE": choices.site,
        "NODE": choices.node,
        "HOST": choices.host,
        "KIND": choices.source,
        "PLACE\n": places[choices.source],
        "BUNDLE": f"/{BUNDLE}",
        "STATE": f"/{STATE}",
        "RUNTIME": f"/{RUNTIME}",
    }.items():
        text = text.replace(f"@{name}", value)
    return text


def files(tactic: Path, choices: Choices) -> dict[Path, File]:
    """Every file but the bundle, by its place below the root."""
    return {
        UNIT: File(unit(tactic)),
        USERS: File(users()),
        CONFIG: File(config(choices), 0o640),
    }


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
