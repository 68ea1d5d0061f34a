"""Two places for bundles that came over the air, and a link that names the one in use.

``current`` is switched by renaming a link over it, and only to a slot that is whole, was tried
and has worked. Whatever ends the node at any moment, ``current`` names a whole bundle, or there is
none yet and the bundle of the configuration runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tactic_codec.bundle import MANIFEST, SIGNATURE
from tactic_codec.durable import replace_file, sync_folder
from tactic_codec.manifest import FileEntry
from tactic_device.errors import SlotError

NAMES = ("a", "b")
_CURRENT, _INCOMING, _TRASH, _OUTCOME = "current", "incoming", "trash", "outcome.json"
_PART = ".part"

Missing = tuple[int, int]
"""Index of a file, and how many of its bytes are there."""


class Slots:
    """Bundles of one node.

    Parameters
    ----------
    folder : Path
        Made if missing; nobody else writes there.

    Raises
    ------
    SlotError
        The folder cannot be used. So does every other method when the medium fails.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with self._storage():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(folder / _TRASH, ignore_errors=True)

    @property
    def current(self) -> Path | None:
        """The slot in use; None before the first one was kept."""
        try:
            name = (self._folder / _CURRENT).readlink().name
        except OSError:
            return None
        return self._folder / name if name in NAMES else None

    @property
    def all(self) -> tuple[Path, ...]:
        """Both slots, whether or not there is a bundle in them."""
        return tuple(self._folder / name for name in NAMES)

    def expect(
        self, manifest: bytes, signature: bytes, files: Sequence[FileEntry], here: Sequence[Path]
    ) -> list[Missing]:
        """Say what is missing of a bundle; what came of it before is kept, of others is not.

        Parameters
        ----------
        manifest, signature : bytes
            Checked by the caller.
        files : sequence of FileEntry
            What this node needs of it.
        here : sequence of Path
            Folders of bundles whose files may be the same.
        """
        with self._storage():
            if self._read_incoming() != (manifest, signature):
                self._discard(self._incoming)
                self._incoming.mkdir()
                replace_file(self._incoming / SIGNATURE, signature)
                replace_file(self._incoming / MANIFEST, manifest)
                for entry in files:
                    self._copy(entry, here)
            for entry in files:
                # An end between the last piece and the check leaves a whole part behind.
                if self._size(entry) >= entry.size_bytes > 0:
                    self._take(self._part(entry), self._incoming / entry.path, entry)
            return self._missing(files)

    def write(self, entry: FileEntry, offset: int, data: bytes) -> None:
        """Append a piece of a file, if it is the next one; check the file once it is whole."""
        path = self._incoming / entry.path
        with self._storage():
            if path.exists() or offset != self._size(entry):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            part = self._part(entry)
            with part.open("ab") as file:
                file.write(data[: entry.size_bytes - offset])
                file.flush()
                if offset + len(data) >= entry.size_bytes:
                    os.fsync(file.fileno())
            if offset + len(data) >= entry.size_bytes:
                self._take(part, path, entry)

    def stage(self, files: Sequence[FileEntry]) -> Path:
        """Move a bundle that is whole into the slot that is not in use; return that slot."""
        if self._missing(files):
            raise SlotError(f"{self._folder}: bundle is not whole; send the rest of it")
        used = self.current
        spare = self._folder / next(n for n in NAMES if used is None or used.name != n)
        with self._storage():
            self._discard(spare)
            self._incoming.replace(spare)
            sync_folder(self._folder)
        return spare

    def switch(self, slot: Path) -> None:
        """Use a slot from now on; durable before this returns."""
        link = self._folder / f"{_CURRENT}.new"
        with self._storage():
            link.unlink(missing_ok=True)
            link.symlink_to(slot.name)
            link.replace(self._folder / _CURRENT)
            sync_folder(self._folder)

    @property
    def incoming_manifest(self) -> bytes | None:
        """Manifest of the bundle that is expected."""
        found = self._read_incoming()
        return found[0] if found else None

    @property
    def outcome(self) -> dict[str, object]:
        """What became of the latest bundle that was tried."""
        try:
            found = json.loads((self._folder / _OUTCOME).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def note(self, outcome: dict[str, object]) -> None:
        """Write down what became of a bundle."""
        with self._storage():
            replace_file(self._folder / _OUTCOME, json.dumps(outcome).encode())

    @property
    def _incoming(self) -> Path:
        return self._folder / _INCOMING

    def _missing(self, files: Sequence[FileEntry]) -> list[Missing]:
        return [
            (index, self._size(entry))
            for index, entry in enumerate(files)
            if not (self._incoming / entry.path).exists()
        ]

    def _read_incoming(self) -> tuple[bytes, bytes] | None:
        try:
            return tuple((self._incoming / name).read_bytes() for name in (MANIFEST, SIGNATURE))  # type: ignore[return-value]
        except OSError:
            return None

    def _part(self, entry: FileEntry) -> Path:
        return self._incoming / f"{entry.path}{_PART}"

    def _size(self, entry: FileEntry) -> int:
        try:
            return self._part(entry).stat().st_size
        except FileNotFoundError:
            return 0

    def _take(self, part: Path, path: Path, entry: FileEntry) -> None:
        """Keep a file that is whole; begin again with one that is not what was declared."""
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == entry.sha256:
            part.replace(path)
            sync_folder(path.parent)
        else:
            part.unlink()

    def _copy(self, entry: FileEntry, here: Sequence[Path]) -> None:
        for folder in here:
            try:
                content = (folder / entry.path).read_bytes()
            except OSError:
                continue
            if len(content) == entry.size_bytes:
                self.write(entry, 0, content)
        if entry.size_bytes == 0:
            self.write(entry, 0, b"")

    def _discard(self, folder: Path) -> None:
        if folder.exists():
            shutil.rmtree(self._folder / _TRASH, ignore_errors=True)
            folder.replace(self._folder / _TRASH)
            shutil.rmtree(self._folder / _TRASH, ignore_errors=True)

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            reason = fault.strerror or "cannot be used"
            raise SlotError(f"{self._folder}: slots: {reason}; check bundle.slots") from fault
