"""Commands of the system that the service needs: users, groups, systemd.

With another root than ``/`` everything happens to the files there, as for the image of a card.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tactic_device.errors import ServiceError
from tactic_device.service import layout

_BOOTED = Path("/run/systemd/system")
_COMMAND_S = 60.0


class System:
    """The machine, or the tree of one.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._here = root == Path("/")

    @property
    def is_running(self) -> bool:
        """Whether systemd runs on it now."""
        return self._here and _BOOTED.is_dir()

    def user(self) -> tuple[int, int] | None:
        """Numbers of the service's user and group; None where there is no such user."""
        for fields in self._lines("passwd"):
            if fields[0] == layout.USER and len(fields) > 3:
                return int(fields[2]), int(fields[3])
        return None

    def groups(self) -> set[str]:
        """Groups that the service's user was put into."""
        return {
            fields[0]
            for fields in self._lines("group")
            if len(fields) > 3 and layout.USER in fields[3].split(",")
        }

    def make_user(self) -> list[str]:
        """The command that makes the user."""
        command = ["systemd-sysusers"]
        return [*command, *([] if self._here else [f"--root={self.root}"]), layout.USERS.name]

    def remove_user(self) -> list[list[str]]:
        """The commands that remove the user and its group."""
        where = [] if self._here else ["--prefix", str(self.root)]
        # With a prefix, userdel does not find the setting by which it removes the group too.
        commands = ("userdel",) if self._here else ("userdel", "groupdel")
        return [[command, *where, layout.USER] for command in commands]

    def enable(self, on: bool) -> list[str]:
        """The command that starts the service with the machine, or does so no longer."""
        verb = "enable" if on else "disable"
        where = [] if self.is_running else [f"--root={self.root}"]
        return ["systemctl", *where, verb, layout.SERVICE]

    def _lines(self, name: str) -> Iterator[list[str]]:
        try:
            text = (self.root / "etc" / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        yield from (line.split(":") for line in text.splitlines())


def run(command: list[str]) -> None:
    """Run a command of the system.

    Raises
    ------
    ServiceError
        It is not there, or it failed; its own words are in the message.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=_COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise ServiceError(f"{' '.join(command)}: {fault}; run it by hand, then again") from fault
    if done.returncode:
        words = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise ServiceError(f"{' '.join(command)}: {words or 'failed'}; run it by hand, then again")


def tactic_command(beside: Path) -> Path:
    """The ``tactic`` command of this installation.

    Parameters
    ----------
    beside : Path
        The Python that runs it.

    Raises
    ------
    ServiceError
        There is none beside it.
    """
    found = beside.with_name("tactic")
    if not found.is_file():
        raise ServiceError(
            f"{found}: missing; install tactic into an environment of its own, such as /opt/tactic"
        )
    return found


def hidden_by(path: Path) -> Path | None:
    """The first folder above a path that other users may not pass; None if they may."""
    for folder in reversed(path.parents):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            return folder
    return None


def name_of(number: int, group: bool = False) -> str:
    """Name of a user or group of this machine, or its number."""
    try:
        return grp.getgrgid(number).gr_name if group else pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def find(command: str) -> str | None:
    """Path of a command, also where only root looks for it."""
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
