"""The emulator: between a real node and a real broker, the simulator's channel in real time.

It takes TCP connections and passes their bytes on when the channel lets them arrive. What is
inside, MQTT or TLS, it does not see.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tactic_link.channel import Channel
from tactic_link.errors import LinkError
from tactic_link.preset import Way
from tactic_link.realtime import RealTime
from tactic_link.stream import MOST_WAITING_BYTES, Stream

Address = tuple[str, int]

_GOODBYE_S = 2.0


@dataclass(slots=True)
class Passed:
    """What has gone through.

    Attributes
    ----------
    connections : int
    bytes_up, bytes_down : int
        Of the streams, as TCP's users wrote them.
    """

    connections: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class Proxy:
    """One link; all connections share it. An asynchronous context manager.

    Parameters
    ----------
    channel : Channel
        Of a preset with IP.
    listen : (host, port)
        Where nodes connect to; port 0: any free one.
    broker : (host, port)
    speed : float
        Seconds of the link for each second of the machine.

    Attributes
    ----------
    address : (host, port)
        Where it listens.
    passed : Passed

    Raises
    ------
    LinkError
        The preset is no IP link, or, on entering, nothing can listen there.
    """

    def __init__(
        self, channel: Channel, listen: Address, broker: Address, speed: float = 1.0
    ) -> None:
        if channel.preset.bearer != "ip":
            raise LinkError(
                f"{channel.preset.title}: it carries datagrams, and MQTT needs IP; "
                "tactic link presets lists the links that carry IP"
            )
        self.address = listen
        self.passed = Passed()
        self._channel = channel
        self._broker = broker
        self._speed = speed
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._time = RealTime(self._speed)
        try:
            self._server = await asyncio.start_server(self._accept, *self.address)
        except OSError as fault:
            # What asyncio says of a port is half a sentence with the address once more.
            number = fault.errno or 0
            cause = os.strerror(number) if number > 0 else fault.strerror
            raise LinkError(f"{place(self.address)}: {cause}; choose another --listen") from fault
        self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def now_ns(self) -> int:
        """Time of the link."""
        return self._time.now_ns

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed.connections += 1
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self._channel, self._time, self._speed, self.passed)
        with suppress(asyncio.CancelledError):
            await connection.run(reader, writer, self._broker)


class Connection:
    """One connection of a node through the link.

    Parameters
    ----------
    channel : Channel
    time : RealTime
    speed : float
    passed : Passed
    """

    def __init__(self, channel: Channel, time: RealTime, speed: float, passed: Passed) -> None:
        self._passed = passed
        self._ended = asyncio.Event()
        self._up = Stream(channel, Way.UP, time, speed, self._on_up)
        self._down = Stream(channel, Way.DOWN, time, speed, self._on_down)
        self._node: asyncio.StreamWriter | None = None
        self._broker: asyncio.StreamWriter | None = None

    async def run(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, broker: Address
    ) -> None:
        """Carry both ways until an end that closed is known at the other end."""
        self._node = writer
        try:
            await first_of(self._join(reader, broker), self._ended.wait())
        finally:
            self._up.clear()
            self._down.clear()
            for end in (self._node, self._broker):
                if end:
                    await close(end)

    async def _join(self, reader: asyncio.StreamReader, broker: Address) -> None:
        said: list[bytes] = []
        # The node's machine is told at once that it is connected. If the node gives up before the
        # link has answered, the broker hears nothing of it.
        if not await first_of(self._shake(broker), listen(reader, said)) or not self._broker:
            return
        for data in said:
            self._up.put(data)
        await asyncio.gather(self._up.pump(reader), self._down.pump(self._answers))
        await self._ended.wait()

    async def _shake(self, broker: Address) -> None:
        await self._up.cross()
        with suppress(OSError):
            self._answers, self._broker = await asyncio.open_connection(*broker)
        await self._down.cross()

    def _on_up(self, data: bytes) -> None:
        self._passed.bytes_up += len(data)
        self._write(self._broker, data)

    def _on_down(self, data: bytes) -> None:
        self._passed.bytes_down += len(data)
        self._write(self._node, data)

    def _write(self, end: asyncio.StreamWriter | None, data: bytes) -> None:
        if not data or not end:
            self._ended.set()
        elif not end.is_closing():
            end.write(data)


async def close(end: asyncio.StreamWriter) -> None:
    """Close a connection; what is written is sent, unless the other end does not take it."""
    end.close()
    with suppress(OSError):
        try:
            await asyncio.wait_for(end.wait_closed(), _GOODBYE_S)
        except TimeoutError:
            end.transport.abort()


async def first_of(one: Coroutine[Any, Any, Any], other: Coroutine[Any, Any, Any]) -> bool:
    """Run both until one has ended, and stop the other; whether ``one`` has."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def listen(reader: asyncio.StreamReader, said: list[bytes]) -> None:
    """Keep what comes, until it ends."""
    with suppress(ConnectionError):
        while data := await reader.read(MOST_WAITING_BYTES):
            said.append(data)
            if sum(map(len, said)) > MOST_WAITING_BYTES:
                await asyncio.get_running_loop().create_future()


def place(address: Address) -> str:
    """HOST:PORT."""
    return f"{address[0]}:{address[1]}"


def read_place(text: str) -> Address:
    """Read HOST:PORT.

    Raises
    ------
    LinkError
        The text is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise LinkError(f"{text!r}: give HOST:PORT such as 127.0.0.1:1883")
    return host, int(port)
