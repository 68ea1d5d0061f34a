"""Messages between the gateway and its workers: a JSON object and bytes, through a pipe.

A message is the length of the object and that of the bytes, each u32 little-endian, then the
object, then the bytes. JSON can only ever become plain values; nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import select
import struct
from collections.abc import Callable
from typing import Any

MAX_MESSAGE_BYTES = 1 << 31

_LENGTHS = struct.Struct("<II")
_CHUNK_BYTES = 1 << 16
_LOOK_S = 0.2

Message = tuple[dict[str, Any], bytes]
Patience = Callable[[], float]
"""Seconds that are left to wait; asked again and again, so that it may change its mind."""


class Channel:
    """One end of two pipes.

    Every method raises `TimeoutError` when the patience is at its end, and `EOFError` when there
    is nobody at the other end.

    Parameters
    ----------
    reading, writing : int
        File descriptors.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        for each in (reading, writing):
            os.set_blocking(each, False)

    def send(self, head: dict[str, Any], body: bytes = b"", left_s: Patience | None = None) -> None:
        """Write a message."""
        text = json.dumps(head, separators=(",", ":")).encode()
        data = memoryview(_LENGTHS.pack(len(text), len(body)) + text + body)
        while data:
            _await(self._writing, select.POLLOUT, left_s)
            try:
                data = data[os.write(self._writing, data[:_CHUNK_BYTES]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as fault:
                raise EOFError("nobody reads") from fault

    def receive(self, left_s: Patience | None = None) -> Message:
        """Read a message.

        Raises
        ------
        ValueError
            What came is no message.
        """
        sizes = _LENGTHS.unpack(self._read(_LENGTHS.size, left_s))
        if sum(sizes) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {sum(sizes)} bytes")
        head = json.loads(self._read(sizes[0], left_s))
        if not isinstance(head, dict):
            raise ValueError("a message that does not begin with an object")
        return head, self._read(sizes[1], left_s)

    def _read(self, size: int, left_s: Patience | None) -> bytes:
        data = bytearray()
        while len(data) < size:
            _await(self._reading, select.POLLIN, left_s)
            try:
                piece = os.read(self._reading, min(_CHUNK_BYTES, size - len(data)))
            except BlockingIOError:
                continue
            if not piece:
                raise EOFError("nobody writes")
            data += piece
        return bytes(data)


def _await(file: int, event: int, left_s: Patience | None) -> None:
    poll = select.poll()
    poll.register(file, event)
    while True:
        wait_s = None if left_s is None else min(left_s(), _LOOK_S)
        if wait_s is not None and wait_s <= 0:
            raise TimeoutError
        if poll.poll(None if wait_s is None else wait_s * 1000):
            return
