"""An append-only log in segments: what was appended survives the process, in order.

A segment is a file of records: length u32, CRC-32 u32, type u8, body; little-endian, the CRC
covers length, type and body. A damaged record ends its segment: everything before it counts.
Each program run begins a segment of its own, so a torn tail is never written behind.

Every method raises OSError when the medium fails, and then has changed nothing.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<IIB")
_CHECKED = struct.Struct("<IB")
_SUFFIX = ".seg"
_STEP_BYTES = 65_536

OVERHEAD_BYTES = _HEAD.size


class Place(NamedTuple):
    """Where a body lies; ``skip`` bytes at its beginning are not asked for."""

    segment: int
    offset: int
    length: int
    skip: int = 0


class Record(NamedTuple):
    """One record as it was appended."""

    type: int
    body: bytes
    place: Place


class Journal:
    """Segments in a folder; the caller decides when to `roll` and what to delete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._skipped: dict[int, int] = {}
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            number = int(path.stem, 16)
            self._files[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._sizes[number] = path.stat().st_size

    @property
    def segments(self) -> list[int]:
        """Numbers of the segments, oldest first; the last is the one written to."""
        return list(self._files)

    @property
    def active(self) -> int:
        """Number of the segment written to."""
        return next(reversed(self._files))

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self._sizes.values())

    @property
    def active_bytes(self) -> int:
        """Bytes of the segment written to."""
        return self._sizes[self.active]

    @property
    def damaged_bytes(self) -> int:
        """Bytes that `replay` could not read."""
        return sum(self._skipped.values())

    @property
    def ends_well(self) -> bool:
        """Whether `replay` could read the last segment to its end."""
        return not self._files or not self._skipped.get(self.active, 0)

    def is_empty(self, number: int) -> bool:
        """Whether a segment has no record."""
        return self._sizes[number] == 0

    def replay(self) -> Iterator[Record]:
        """Read every intact record, oldest first."""
        for number in self.segments:
            data = self._load(number)
            end = 0
            for record in read_records(number, data):
                end = record.place.offset + record.place.length
                yield record
            self._skipped[number] = self._sizes[number] - end

    def roll(self) -> None:
        """Begin a new segment."""
        number = max(self._files, default=0) + 1
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        file = os.open(self._path(number), flags, 0o600)
        try:
            self._sync_folder()
        except OSError:
            os.close(file)
            raise
        self._files[number] = file
        self._sizes[number] = 0

    def append(self, kind: int, body: bytes) -> Place:
        """Write a record at the end; it survives the process when this returns."""
        number = self.active
        start = self._sizes[number]
        check = zlib.crc32(body, zlib.crc32(_CHECKED.pack(len(body), kind)))
        record = _HEAD.pack(len(body), check, kind) + body
        if os.pwrite(self._files[number], record, start) != len(record):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._sizes[number] = start + len(record)
        return Place(number, start + _HEAD.size, len(body))

    def read(self, place: Place) -> bytes | None:
        """Read what lies at a place; None if it fails its check."""
        start = place.offset - _HEAD.size
        data = self._pread(place.segment, place.length + _HEAD.size, start)
        record = next(read_records(place.segment, data), None)
        return record.body[place.skip :] if record else None

    def sync(self) -> None:
        """Force what was appended to the active segment onto the medium."""
        os.fdatasync(self._files[self.active])

    def sync_older(self, number: int) -> None:
        """Force a segment that an earlier process wrote onto the medium."""
        os.fdatasync(self._files[number])

    def delete(self, number: int) -> None:
        """Delete a segment."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(number))  # noqa: PTH108, so that all that can fail is in os
        os.close(self._files.pop(number))
        del self._sizes[number]
        self._skipped.pop(number, None)

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _load(self, number: int) -> bytes:
        try:
            return os.pread(self._files[number], self._sizes[number], 0)
        except OSError:
            pass
        data = b""
        try:
            while piece := os.pread(self._files[number], _STEP_BYTES, len(data)):
                data += piece
        except OSError:
            pass  # what lies before a bad sector still counts
        return data

    def _pread(self, number: int, length: int, offset: int) -> bytes:
        try:
            return os.pread(self._files[number], length, offset)
        except OSError:
            # The medium may have come back as another device under the same path.
            file = os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC)
        former, self._files[number] = self._files[number], file
        os.close(former)
        return os.pread(file, length, offset)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012x}{_SUFFIX}"

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_records(number: int, data: bytes) -> Iterator[Record]:
    """Read the records of a segment up to its end, or to the first that is damaged."""
    position = 0
    while position + _HEAD.size <= len(data):
        length, check, kind = _HEAD.unpack_from(data, position)
        start = position + _HEAD.size
        body = data[start : start + length]
        expected = zlib.crc32(body, zlib.crc32(_CHECKED.pack(length, kind)))
        if len(body) != length or check != expected:
            return
        yield Record(kind, body, Place(number, start, length))
        position = start + length
