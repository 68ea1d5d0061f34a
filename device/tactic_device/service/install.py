"""``tactic device install`` and ``uninstall``: each step is said before it is done."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tactic_codec.bundle import MANIFEST, Bundle
from tactic_device.errors import ServiceError
from tactic_device.service import layout
from tactic_device.service.layout import Choices, File
from tactic_device.service.system import System, hidden_by, run

Say = Callable[[str], None]


class _Record(BaseModel):
    """What an installation wrote: SHA-256 of each file, folders, and whether the user is ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: dict[str, str] = {}
    folders: tuple[str, ...] = ()
    user: bool = False


class Work:
    """Changes below a root, said, and done unless this is a rehearsal.

    Parameters
    ----------
    root : Path
    dry : bool
        Say only.
    say : callable (text)
    """

    def __init__(self, root: Path, dry: bool, say: Say) -> None:
        self.root = root
        self.dry = dry
        self.system = System(root)
        self._say = say
        self.written: dict[str, str] = {}
        self.made: list[str] = []

    def command(self, command: list[str]) -> None:
        """Run a command of the system."""
        self._say(f"run     {' '.join(command)}")
        if not self.dry:
            run(command)

    def folder(self, place: Path, mode: int) -> None:
        """Make a folder and what is above it."""
        each_level = (*reversed(place.parents), place)
        missing = [
            p for p in each_level if not (self.root / p).exists() and str(p) not in self.made
        ]
        for each in missing:
            self._say(f"folder  {self.root / each}")
            self.made.append(str(each))
            if not self.dry:
                (self.root / each).mkdir()
        if missing and not self.dry:
            (self.root / place).chmod(mode)

    def write(self, place: Path, content: bytes, mode: int) -> None:
        """Write a file."""
        self._say(f"write   {self.root / place} ({mode:04o})")
        self.written[str(place)] = hashlib.sha256(content).hexdigest()
        if not self.dry:
            self.folder(place.parent, 0o755)
            path = self.root / place
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
            path.chmod(mode)

    def give(self, place: Path, user: bool) -> None:
        """Give a file or folder to the service's group, or to its user too."""
        ids = self.system.user()
        if ids and not self.dry:
            os.chown(self.root / place, ids[0] if user else 0, ids[1])

    def remove(self, place: Path, why: str = "") -> None:
        """Remove a file, a link, or a folder with all that is in it."""
        path = self.root / place
        if not (path.exists() or path.is_symlink()):
            return
        self._say(f"remove  {path}{why}")
        if self.dry:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def install(
    root: Path, tactic: Path, choices: Choices, bundle: Path | None, *, dry: bool, say: Say
) -> None:
    """Write user, folders, configuration and unit; nothing is started.

    What is there already is kept: the configuration for good, the rest only if it is the same.

    Raises
    ------
    ServiceError, BundleError
    """
    if bundle:
        Bundle.open(bundle)
    folder = hidden_by(tactic) if root == Path("/") else None
    if folder:
        raise ServiceError(
            f"{tactic}: the service's user may not pass {folder}; install tactic into /opt/tactic: "
            "python3 -m venv /opt/tactic"
        )
    work = Work(root, dry, say)
    with _permissions(root):
        known_user = work.system.user() is not None
        for place, file in layout.files(tactic, choices).items():
            _write(work, place, file, say)
        if not known_user:
            work.command(work.system.make_user())
        work.folder(layout.STATE, 0o750)
        work.give(layout.STATE, user=True)
        if bundle:
            _copy(work, bundle)
        work.give(layout.CONFIG, user=False)
        if not (root / layout.WANTED).is_symlink():
            if work.system.is_running:
                work.command(["systemctl", "daemon-reload"])
            work.command(work.system.enable(True))
        _note(work, known_user)
    say(f"next    edit {root / layout.CONFIG}, then: tactic doctor --config {root / layout.CONFIG}")
    say("then    systemctl start tactic-device; journalctl -fu tactic-device")


def uninstall(root: Path, *, purge: bool, dry: bool, say: Say) -> None:
    """Remove what `install` wrote and nobody has changed since; with ``purge`` all the rest too.

    Raises
    ------
    ServiceError
    """
    work = Work(root, dry, say)
    record = _record(root)
    with _permissions(root):
        if work.system.is_running and (root / layout.UNIT).exists():
            work.command(["systemctl", "disable", "--now", layout.SERVICE])
        elif (root / layout.WANTED).is_symlink():
            work.command(work.system.enable(False))
        kept = [] if purge else _kept(work, record.files)
        for place in map(Path, record.files):
            if purge or place not in kept:
                work.remove(place)
        work.remove(layout.RECORD)
        for place in (layout.SETTINGS, layout.STATE, layout.RUNTIME) if purge else ():
            work.remove(place)
        for place in map(Path, reversed(record.folders)):
            path = root / place
            if path.is_dir() and (dry or not any(path.iterdir())):
                work.remove(place, " (if empty)" if dry else "")
        _remove_user(work, record.user, purge)
        if work.system.is_running:
            work.command(["systemctl", "daemon-reload"])
    left = [p for p in (layout.SETTINGS, layout.STATE) if (root / p).exists()]
    if left and not dry:
        places = ", ".join(str(root / place) for place in left)
        say(f"kept    {places}: configuration, keys, frames; --purge removes them too")


def _write(work: Work, place: Path, file: File, say: Say) -> None:
    path = work.root / place
    content = file.text.encode()
    if place == layout.CONFIG and path.exists():
        say(f"keep    {path}")
    elif not path.exists() or path.read_bytes() != content:
        work.folder(place.parent, 0o755)
        work.write(place, content, file.mode)


def _copy(work: Work, bundle: Path) -> None:
    """The bundle, its manifest last, so that a copy that was cut off is no bundle."""
    if (work.root / layout.BUNDLE).exists():
        work.remove(layout.BUNDLE, " (the bundle before)")
    found = sorted(p.relative_to(bundle) for p in bundle.rglob("*") if p.is_file())
    for name in sorted(found, key=lambda name: name.name == MANIFEST):
        target = layout.BUNDLE / name
        content = (bundle / name).read_bytes()
        work.folder(target.parent, 0o755)
        work.write(target, content, 0o644)


def _kept(work: Work, files: dict[str, str]) -> list[Path]:
    """Files that somebody has changed since they were written."""
    return [
        Path(place)
        for place, digest in files.items()
        if (work.root / place).is_file()
        and hashlib.sha256((work.root / place).read_bytes()).hexdigest() != digest
    ]


def _remove_user(work: Work, ours: bool, purge: bool) -> None:
    """Only where nothing is left that belongs to it: its number may be given to another user."""
    gone = work.dry or not (work.root / layout.STATE).exists()
    if work.system.user() is not None and (ours or purge) and gone:
        for command in work.system.remove_user():
            work.command(command)


def _note(work: Work, known_user: bool) -> None:
    """Remember what was written, also by an earlier run."""
    before = _record(work.root)
    folders = (*before.folders, *(p for p in work.made if p not in before.folders))
    record = _Record(
        files=before.files | work.written, folders=folders, user=before.user or not known_user
    )
    work.write(layout.RECORD, record.model_dump_json(indent=2).encode() + b"\n", 0o644)


def _record(root: Path) -> _Record:
    path = root / layout.RECORD
    try:
        return _Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Record()
    except (OSError, ValidationError) as fault:
        raise ServiceError(
            f"{path}: cannot be read; remove it, then what it should name"
        ) from fault


@contextmanager
def _permissions(root: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as fault:
        raise ServiceError(f"{fault.filename}: not permitted; run it with sudo") from fault
    except OSError as fault:
        raise ServiceError(
            f"{fault.filename or root}: {fault.strerror}; mend that, then run it again"
        ) from fault
