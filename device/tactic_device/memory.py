"""Where the log in memory lies, and that nobody else can have put it there."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tactic_device.errors import OutboxError
from tactic_device.shelf import Shelf

_SHARED = Path("/dev/shm")
_SEGMENTS = 8


@dataclass(frozen=True, slots=True)
class Memory:
    """The log in memory.

    Attributes
    ----------
    folder : Path
        On a file system that lives in memory.
    max_bytes : int
        Cap on its segments.
    spill_after_s : float
        What waits for longer moves to the disk.
    """

    folder: Path
    max_bytes: int = 16 << 20
    spill_after_s: float = 60.0


def default_folder(outbox: Path) -> Path:
    """Choose a folder in memory for the outbox at a path; always the same one.

    That is systemd's runtime directory where the unit has one, else one below ``/dev/shm``.
    """
    name = hashlib.sha256(str(outbox.resolve()).encode()).hexdigest()[:16]
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if runtime:
        return Path(runtime) / f"outbox-{name}"
    return _SHARED / f"tactic-{os.getuid()}-{name}"


def prepare(folder: Path) -> None:
    """Make the folder; everybody may make folders in ``/dev/shm``, so look whose it is.

    Raises
    ------
    OutboxError
        It belongs to somebody else, or others may write to it.
    OSError
        It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OutboxError(
            f"{folder}: outbox in memory is not a folder of this user alone; remove it, or set "
            "outbox.ram_path"
        )


def open_shelf(memory: Memory | None, make: bool) -> Shelf | None:
    """Open the log in memory; None if there is none, and none is to be made.

    Raises
    ------
    OutboxError, OSError
        As `prepare` and `Shelf`.
    """
    if memory is None or not (make or memory.folder.exists()):
        return None
    prepare(memory.folder)
    return Shelf("memory", memory.folder, memory.max_bytes, _SEGMENTS)
