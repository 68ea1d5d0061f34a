"""Messages between the network thread and the ingest thread: a queue with two caps."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace

from tactic_gateway.reader import MAX_PAYLOAD_BYTES, Message

QUEUE_MESSAGES = 1024
QUEUE_BYTES = 64 << 20
COMMIT_MESSAGES = 256
COMMIT_WAIT_S = 0.005
_IDLE_S = 0.2


class Inlet:
    """What arrived and is not taken yet."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._bytes = 0

    @property
    def room(self) -> int:
        """How many more messages fit."""
        room = QUEUE_MESSAGES - self._queue.qsize()
        return max(0, room) if self._bytes < QUEUE_BYTES else 0

    def offer(self, message: Message) -> bool:
        """Put a message in; False where there is no room. Never blocks.

        Of a message that is longer than any may be, only as much is kept as shows that.
        """
        if self.room == 0:
            return False
        kept = message.payload[: MAX_PAYLOAD_BYTES + 1]
        with self._lock:
            self._bytes += len(kept)
        self._queue.put(replace(message, payload=kept))
        return True

    def collect(self) -> list[Message]:
        """Messages that came within a few milliseconds; none after a while without any."""
        messages: list[Message] = []
        deadline_s = time.monotonic() + _IDLE_S
        while len(messages) < COMMIT_MESSAGES:
            try:
                wait_s = max(0.0, deadline_s - time.monotonic())
                messages.append(self._queue.get(timeout=wait_s))
            except queue.Empty:
                break
            if len(messages) == 1:
                deadline_s = time.monotonic() + COMMIT_WAIT_S
        with self._lock:
            self._bytes -= sum(len(message.payload) for message in messages)
        return messages

    def empty(self) -> bool:
        """Whether nothing is left."""
        return self._queue.empty()
