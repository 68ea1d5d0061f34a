"""A proxy in user space between an MQTT client and its broker, which cuts connections anywhere.

It also counts what the client publishes without asking for an answer and without retaining it:
on the uplink these are the node's packets, each sending of them.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Self

_CHUNK = 4096
_PUBLISH, _QOS_AND_RETAIN = 0x30, 0x07


class Counter:
    """Counts packets in the bytes that a client sends, however they are cut into pieces.

    MQTT 5 section 2.1: a byte of type and flags, the remaining length in groups of 7 bits.
    """

    def __init__(self) -> None:
        self.published = 0
        self._head = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> None:
        """Look at the next bytes of the stream."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            self._head.append(data[at])
            at += 1
            if len(self._head) > 1 and self._head[-1] < 0x80:
                self._begin()

    def _begin(self) -> None:
        kind, *groups = self._head
        self._skip = sum((group & 0x7F) << 7 * number for number, group in enumerate(groups))
        # DUP says nothing here; QoS 0, not retained.
        self.published += kind & 0xF0 == _PUBLISH and not kind & _QOS_AND_RETAIN
        self._head.clear()


class Proxy:
    """Passes bytes on to 127.0.0.1:`target` until told to cut; a context manager.

    Parameters
    ----------
    target : int
        Port of the broker, which may come and go.
    rng : random.Random
        Where in a chunk a connection is cut.

    Attributes
    ----------
    port : int
        Where clients connect to, on 127.0.0.1.
    published : int
        Packets that clients have sent, see `Counter`.
    """

    def __init__(self, target: int, rng: Random) -> None:
        self._target = target
        self._rng = rng
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._open: set[asyncio.StreamWriter] = set()
        self._doomed: set[asyncio.StreamWriter] = set()
        self._counters: list[Counter] = []
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def published(self) -> int:
        """Packets of all clients so far."""
        return sum(counter.published for counter in self._counters)

    def cut(self) -> None:
        """End every open connection in the middle of the next bytes that it carries."""
        self._loop.call_soon_threadsafe(lambda: self._doomed.update(self._open))

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await self._connect(reader, writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counter = Counter()
        self._counters.append(counter)
        try:
            up, down = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, down}
        both = [self._pass(reader, down, counter), self._pass(up, writer, None)]
        tasks = [asyncio.ensure_future(each) for each in both]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in (writer, down):
            each.transport.abort()
            self._open.discard(each)
            self._doomed.discard(each)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: Counter | None
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if counter:
                    counter.feed(data)
                if writer in self._doomed:
                    writer.write(data[: self._rng.randrange(len(data))])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()
