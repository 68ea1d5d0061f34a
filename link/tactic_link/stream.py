"""One direction of a connection through the emulator: bytes in, the same bytes out, later."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from tactic_link.channel import Channel, Transit
from tactic_link.events import Timeline
from tactic_link.outlet import Outlet
from tactic_link.preset import Way
from tactic_link.windows import S

#: a buffer of this size waits for the link; then the sender has to wait
MOST_WAITING_BYTES = 1 << 18
_MOST_PIECE_BYTES = 1 << 14
_PIECE_NS = 5_000_000


def piece_bytes(channel: Channel, way: Way, speed: float) -> int:
    """How much is sent as one message: a packet, or what 5 ms of the machine's time carry.

    The machine's clock is no finer: smaller pieces would make a fast link slow.
    """
    direction = channel.preset.way(way)
    rate_bps = direction.rate.base if direction.rate else 0.0
    carried = rate_bps / 8.0 * _PIECE_NS / S * speed
    return int(min(_MOST_PIECE_BYTES, max(direction.mtu.base, carried)))


class Stream:
    """Carries what one end writes to the other, in order, when the channel lets it arrive.

    Parameters
    ----------
    channel : Channel
    way : Way
    time : Timeline
    speed : float
    deliver : callable (bytes)
        Given what has arrived; empty bytes are the end of the stream.
    """

    def __init__(
        self,
        channel: Channel,
        way: Way,
        time: Timeline,
        speed: float,
        deliver: Callable[[bytes], None],
    ) -> None:
        self._outlet = Outlet(channel, way, time)
        self._time = time
        self._piece_bytes = piece_bytes(channel, way, speed)
        self._deliver = deliver
        self._flying: deque[Callable[[], None]] = deque()
        self._waiting_bytes = 0
        self._arrive_ns = 0
        self._room = asyncio.Event()
        self._room.set()

    async def pump(self, reader: asyncio.StreamReader) -> None:
        """Carry everything that comes, to its end."""
        with suppress(ConnectionError):
            while data := await reader.read(self._piece_bytes):
                self.put(data)
                await self._room.wait()
        self.put(b"")

    async def cross(self) -> None:
        """Let a packet without content cross the link, as TCP's handshake does."""
        crossed = asyncio.Event()
        self._send(0, crossed.set)
        await crossed.wait()

    def put(self, data: bytes) -> None:
        """Carry these bytes; empty ones are the end."""
        self._waiting_bytes += len(data)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self._room.clear()
        self._send(len(data), lambda: self._arrived(data))

    def _send(self, size_bytes: int, arrived: Callable[[], None]) -> None:
        def on_begin(transit: Transit) -> None:
            # TCP delivers in order: what is behind a lost packet waits for it.
            self._arrive_ns = max(self._arrive_ns, transit.arrive_ns or 0)
            self._flying.append(arrived)
            self._time.at(self._arrive_ns, self._land)

        self._outlet.put(size_bytes, on_begin)

    def _land(self) -> None:
        # Two that arrive at the same moment may be rung for in either order.
        self._flying.popleft()()

    def _arrived(self, data: bytes) -> None:
        self._waiting_bytes -= len(data)
        if self._waiting_bytes <= MOST_WAITING_BYTES:
            self._room.set()
        self._deliver(data)

    def clear(self) -> None:
        """Let go what has not been sent."""
        self._outlet.clear()
