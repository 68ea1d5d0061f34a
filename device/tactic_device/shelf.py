"""The packets of one folder: where each lies, and room made by moving few and deleting whole files.

A shelf knows nothing of ledgers: what an account says comes from its owner.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from tactic_delivery.entry import PacketKey
from tactic_delivery.keyset import KeySet
from tactic_device.errors import OutboxError
from tactic_device.journal import OVERHEAD_BYTES, Journal, Place
from tactic_device.records import RecordType

MOST_SEGMENTS = 48

_LOCK = "lock"


class Shelf:
    """Segments in a folder, within a hard cap.

    Parameters
    ----------
    name : str
        What faults are reported under.
    folder : Path
        Made if missing; locked against a second process.
    max_bytes : int
        Cap on the bytes of all segments.
    segments : int
        A segment is this part of the cap.

    Raises
    ------
    OutboxError
        Another process has it.
    OSError
        The medium fails, here and in every method that writes or reads.
    """

    def __init__(self, name: str, folder: Path, max_bytes: int, segments: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = name
        self.folder = folder
        self.max_bytes = max_bytes
        self.segment_bytes = max_bytes // segments
        self._lock = _lock(folder)
        self.journal = Journal(folder)
        # What waits here, and what did until the last account.
        self.keys = KeySet()
        self.gone = KeySet()
        self.waiting_bytes = 0
        self.unsynced = 0
        # Appends an account, whole or not; set by the owner, as is the time.
        self.write_account: Callable[[bool], None]
        self.now_ns = 0
        self.begun_ns: dict[int, int] = {}
        self.damaged: set[PacketKey] = set()
        self._places: dict[PacketKey, Place] = {}
        self._in_segment: dict[int, set[PacketKey]] = {}

    def __contains__(self, key: PacketKey) -> bool:
        return key in self._places

    def holds(self, segment: int) -> bool:
        """Whether a packet waits in a segment."""
        return bool(self._in_segment.get(segment))

    def keys_in(self, segment: int) -> list[PacketKey]:
        """Packets that wait in a segment, oldest first."""
        return sorted(self._in_segment.get(segment, ()))

    def locate(self, key: PacketKey, place: Place) -> None:
        """Note where a packet lies, instead of where it lay."""
        self._forget(key)
        self._places[key] = place
        self._in_segment.setdefault(place.segment, set()).add(key)
        self.keys.add(key)
        self.waiting_bytes += place.length + OVERHEAD_BYTES

    def release(self, keys: Iterable[PacketKey]) -> None:
        """Packets wait no more; those that are not here change nothing."""
        for key in keys:
            self.damaged.discard(key)
            if self._forget(key):
                self.keys.discard(key)
                self.gone.add(key)

    def append(self, kind: RecordType, body: bytes) -> Place:
        """Write a record, in a new segment if need be; room is made first."""
        need_bytes = OVERHEAD_BYTES + len(body)
        if self.journal.active_bytes + need_bytes > self.segment_bytes:
            self.roll()
        if self.presses(need_bytes):
            self._move_oldest(need_bytes)
        return self.journal.append(kind, body)

    def keep(self, key: PacketKey, data: bytes) -> None:
        """Write a packet and note where."""
        self.locate(key, self.append(RecordType.PACKET, data))
        self.unsynced += 1

    def read(self, key: PacketKey) -> bytes | None:
        """Read a packet; None if it is damaged."""
        return self.journal.read(self._places[key])

    def roll(self) -> None:
        """Begin a new segment with a whole account."""
        if self.journal.segments:
            self.sync()
        self.begin()
        self.write_account(True)

    def sync(self) -> None:
        """Force everything onto the medium."""
        self.journal.sync()
        self.unsynced = 0

    def begin(self) -> None:
        """Begin a new segment; the one before may be of a medium that failed."""
        former = self.journal.segments[-1:]
        self.journal.roll()
        self.begun_ns[self.journal.active] = self.now_ns
        self.delete(number for number in former if self.journal.is_empty(number))

    def settled(self) -> list[int]:
        """Segments that can go: nothing waits in them, nor in any older one."""
        found = []
        for number in self.journal.segments[:-1]:
            if self.holds(number):
                break
            found.append(number)
        return found

    def clean(self) -> None:
        """Delete what can go; what no longer waits there is on the medium first."""
        numbers = self.settled()
        if numbers and self.gone:
            self.write_account(False)
            self.sync()
        self.delete(numbers)

    def delete(self, numbers: Iterable[int]) -> None:
        """Delete segments."""
        for number in numbers:
            self.journal.delete(number)
            self._in_segment.pop(number, None)
            self.begun_ns.pop(number, None)

    def presses(self, need_bytes: int) -> bool:
        """Whether older segments have to be freed before so much more is written."""
        room_bytes = self.max_bytes - 2 * self.segment_bytes - self.journal.size_bytes
        return need_bytes > room_bytes or len(self.journal.segments) > MOST_SEGMENTS

    def collect(self, keys: Iterable[PacketKey]) -> list[tuple[PacketKey, bytes]]:
        """Read packets; what cannot be read is noted as damaged and left out."""
        found = []
        for key in keys:
            try:
                data = self.read(key)
            except OSError:
                data = None
            if data is None:
                self.damaged.add(key)
            else:
                found.append((key, data))
        return found

    def move(self, segment: int) -> None:
        """Write what waits in a segment again, into the active one."""
        for key, data in self.collect(self.keys_in(segment)):
            if self.journal.active_bytes + OVERHEAD_BYTES + len(data) > self.segment_bytes:
                self.roll()
            self.locate(key, self.journal.append(RecordType.PACKET, data))

    def move_from(self, segments: Iterable[int]) -> None:
        """Write what waits in these segments again, as far as they still exist."""
        for segment in sorted(segments):
            if segment in self.journal.segments:
                self.move(segment)

    def wipe(self) -> None:
        """Delete everything."""
        for number in self.journal.segments:
            self.journal.delete(number)
        for table in (self._places, self._in_segment, self.begun_ns):
            table.clear()
        self.keys.clear()
        self.gone.clear()
        self.waiting_bytes = 0

    def remove(self) -> None:
        """Delete everything, and the folder too if nothing else is in it."""
        self.wipe()
        (self.folder / _LOCK).unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def close(self) -> None:
        """Close every file."""
        self.journal.close()
        os.close(self._lock)

    def _forget(self, key: PacketKey) -> bool:
        place = self._places.pop(key, None)
        if place is None:
            return False
        self._in_segment[place.segment].discard(key)
        self.waiting_bytes -= place.length + OVERHEAD_BYTES
        return True

    def _move_oldest(self, need_bytes: int) -> None:
        for _ in range(len(self.journal.segments)):
            self.clean()
            if not self.presses(need_bytes) or len(self.journal.segments) == 1:
                return
            # A medium that takes nothing is not asked for what it has: it would seem damaged.
            self.write_account(False)
            self.sync()
            oldest = self.journal.segments[0]
            self.move(oldest)
            if self.holds(oldest):
                return  # damaged packets hold it until they are given up
            self.sync()
        if self.presses(need_bytes) and self.journal.size_bytes + need_bytes > self.max_bytes:
            raise OSError(errno.ENOSPC, "max_bytes is too small for what waits")


def _lock(folder: Path) -> int:
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        os.close(file)
        raise OutboxError(
            f"{folder}: outbox is in use by another process; stop it or change outbox.path"
        ) from fault
    return file
