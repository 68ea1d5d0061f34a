"""An append-only log in segments: what was appended survives the process, in order.

A segment is a file of records: length u32, CRC-32 u32, type u8, body; little-endian, the CRC
covers length, type and body. A damaged record ends its segment: everything before it counts.
Each program run begins a segment of its own, so a torn tail is never written behind.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<IIB")
_SUFFIX = ".seg"

OVERHEAD_BYTES = _HEAD.size


class Place(NamedTuple):
    """Where a body lies."""

    segment: int
    offset: int
    length: int


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
        self.damaged_bytes = 0
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            number = int(path.stem, 16)
            self._files[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._sizes[number] = path.stat().st_size

    @property
    def segments(self) -> list[int]:
        """Numbers of the segments, oldest first; the last is the one written to."""
        return list(self._files)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self._sizes.values())

    @property
    def active_bytes(self) -> int:
        """Bytes of the segment written to."""
        return self._sizes[self.segments[-1]]

    def replay(self) -> Iterator[Record]:
        """Read every intact record, oldest first; ``damaged_bytes`` counts what was skipped."""
        for number in self.segments:
            data = os.pread(self._files[number], self._sizes[number], 0)
            end = 0
            for record in _records(number, data):
                end = record.place.offset + record.place.length
                yield record
            self.damaged_bytes += len(data) - end

    def roll(self) -> None:
        """Begin a new segment; the one before it is synced."""
        if self._files:
            self.sync()
        number = max(self._files, default=0) + 1
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._files[number] = os.open(self._path(number), flags, 0o600)
        self._sizes[number] = 0
        self._sync_folder()

    def append(self, kind: int, body: bytes) -> Place:
        """Write a record at the end; it survives the process when this returns."""
        number = self.segments[-1]
        start = self._sizes[number]
        check = zlib.crc32(body, zlib.crc32(struct.pack("<IB", len(body), kind)))
        record = _HEAD.pack(len(body), check, kind) + body
        written = os.pwrite(self._files[number], record, start)
        if written != len(record):
            raise OSError(28, "No space left on device")
        self._sizes[number] = start + len(record)
        return Place(number, start + _HEAD.size, len(body))

    def read(self, place: Place) -> bytes:
        """Read the bytes at a place, unchecked."""
        return os.pread(self._files[place.segment], place.length, place.offset)

    def sync(self) -> None:
        """Force what was appended onto the medium."""
        os.fdatasync(self._files[self.segments[-1]])

    def delete(self, number: int) -> None:
        """Delete a segment."""
        os.close(self._files.pop(number))
        del self._sizes[number]
        self._path(number).unlink()

    def close(self) -> None:
        """Sync and close every file."""
        self.sync()
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012x}{_SUFFIX}"

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _records(number: int, data: bytes) -> Iterator[Record]:
    position = 0
    while position + _HEAD.size <= len(data):
        length, check, kind = _HEAD.unpack_from(data, position)
        start = position + _HEAD.size
        body = data[start : start + length]
        expected = zlib.crc32(body, zlib.crc32(struct.pack("<IB", length, kind)))
        if len(body) != length or check != expected:
            return
        yield Record(kind, body, Place(number, start, length))
        position = start + length
