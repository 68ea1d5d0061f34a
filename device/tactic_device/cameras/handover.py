"""Pictures from the process of a camera to the node, through memory that both see.

The memory begins with a heartbeat, which `Giver.beat` counts up, and holds three pictures: one that
the node looks at, the newest one, and one that is being written. A socket carries what is said:
the node asks for a picture with one byte, and gets one message for it, or the reason of an end.
A picture that a newer one replaces before the node asked is missed, and counted.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tactic_device.errors import SourceError
from tactic_device.pictures import Shot

Room = Callable[[int, int], NDArray[np.uint8]]

_SLOTS = 3
_ASK: Final = b"?"
_PICTURE: Final = b"P"
_FAULT: Final = b"F"
#: where the picture begins, its height and width, pictures missed before it, time of capture
_PLACE = struct.Struct("<QIIIq")
_MESSAGE_BYTES = 4096
_COLOURS = 3


def memory() -> FileIO:
    """Make the memory, a file without a name."""
    file = FileIO(os.memfd_create("camera"), "r+")
    file.truncate(mmap.PAGESIZE)
    return file


class Giver:
    """The camera's end.

    Parameters
    ----------
    line : socket
        Of kind ``SOCK_SEQPACKET``.
    file : FileIO
        The memory.
    """

    def __init__(self, line: socket.socket, file: FileIO) -> None:
        self._line = line
        self._file = file
        self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._beats = np.frombuffer(self._map, np.uint64, 1)
        self._changed = threading.Condition()
        self._first_byte = self._slot_bytes = 0
        self._written: Shot | None = None
        self._slot_of_next = 0
        self._slot_of_newest: int | None = None
        self._slot_of_node: int | None = None
        self._missed = 0

    def beat(self) -> None:
        """Say that the camera is alive."""
        self._beats[0] += 1

    def room(self, height: int, width: int) -> NDArray[np.uint8]:
        """Memory for the next picture, uint8 (height, width, 3); what it holds is old."""
        size_bytes = height * width * _COLOURS
        if size_bytes > self._slot_bytes:
            self._enlarge(size_bytes)
        at = self._first_byte + self._slot_of_next * self._slot_bytes
        flat = np.frombuffer(self._map, np.uint8, size_bytes, at)
        return flat.reshape(height, width, _COLOURS)

    def put(self, shot: Shot) -> None:
        """Offer the picture that was written into `room`; it replaces one not asked for yet."""
        with self._changed:
            self._missed += self._slot_of_newest is not None
            self._written = shot
            self._slot_of_newest = self._slot_of_next
            self._choose_next()
            self._changed.notify()

    def fail(self, reason: str) -> None:
        """Say why no picture will follow."""
        with suppress(OSError):
            self._line.send(_FAULT + reason.encode()[: _MESSAGE_BYTES - 1])

    def serve(self) -> None:
        """Answer the node until it closes the line; for a thread of its own."""
        while self._line.recv(1):
            with self._changed:
                self._slot_of_node = None
                while self._slot_of_newest is None:
                    self._changed.wait()
                message = self._hand_over()
            self._line.send(message)

    def _hand_over(self) -> bytes:
        assert self._written is not None, "there is a newest picture"
        assert self._slot_of_newest is not None
        shot, slot, missed = self._written, self._slot_of_newest, self._missed
        self._slot_of_node, self._slot_of_newest, self._missed = slot, None, 0
        height, width, _ = shot.pixels.shape
        at = self._first_byte + slot * self._slot_bytes
        return _PICTURE + _PLACE.pack(at, height, width, missed, shot.captured_ns)

    def _choose_next(self) -> None:
        taken = (self._slot_of_newest, self._slot_of_node)
        self._slot_of_next = next(n for n in range(_SLOTS) if n not in taken)

    def _enlarge(self, size_bytes: int) -> None:
        """Make slots behind the old ones, which the node may still look at."""
        with self._changed:
            self._missed += self._slot_of_newest is not None
            self._slot_of_newest = self._slot_of_node = None
            self._choose_next()
            self._first_byte = len(self._map)
            self._slot_bytes = -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
            whole_bytes = self._first_byte + _SLOTS * self._slot_bytes
            self._file.truncate(whole_bytes)
            self._map = mmap.mmap(self._file.fileno(), whole_bytes)
            self._beats = np.frombuffer(self._map, np.uint64, 1)


class Taker:
    """The node's end; see `Giver` for the parameters."""

    def __init__(self, line: socket.socket, file: FileIO) -> None:
        self._line = line
        self._file = file
        self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._asked = False
        self._seen_beats = 0

    def take(self, patience_s: float) -> Shot | None:
        """Wait for the next picture; None where there is none yet. The one before is given back.

        Raises
        ------
        SourceError
            The camera has failed, or its process is gone.
        """
        if not self._asked:
            with suppress(OSError):  # why it has ended may still be read
                self._line.send(_ASK)
            self._asked = True
        if not select.select([self._line], [], [], patience_s)[0]:
            return None
        message = self._hear()
        if message[:1] != _PICTURE:
            raise SourceError(message[1:].decode(errors="replace") or "the camera's process ended")
        self._asked = False
        at, height, width, missed, captured_ns = _PLACE.unpack(message[1:])
        return Shot(self._picture(at, height, width), captured_ns, missed)

    def is_alive(self) -> bool:
        """Whether the camera has given a sign of life since the last call."""
        beats = int(np.frombuffer(self._map, np.uint64, 1)[0])
        found, self._seen_beats = beats != self._seen_beats, beats
        return found

    def _picture(self, at: int, height: int, width: int) -> NDArray[np.uint8]:
        size_bytes = height * width * _COLOURS
        if at + size_bytes > len(self._map):
            self._map = mmap.mmap(self._file.fileno(), 0)
        flat = np.frombuffer(self._map, np.uint8, size_bytes, at)
        return flat.reshape(height, width, _COLOURS)

    def _hear(self) -> bytes:
        try:
            return self._line.recv(_MESSAGE_BYTES)
        except OSError:
            return b""
