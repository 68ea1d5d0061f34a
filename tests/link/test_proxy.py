"""The emulator: the same bytes, and never sooner than the channel allows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest

from tactic_link.channel import Channel
from tactic_link.errors import LinkError
from tactic_link.preset import Preset, open_preset
from tactic_link.proxy import Proxy, read_place
from tactic_link.windows import Always, Contacts, Cycle, S

SPEED = 20.0
LOCAL = ("127.0.0.1", 0)
Link = Callable[..., Preset]
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Gives back what it gets; counts those who came."""

    def __init__(self) -> None:
        self.visitors = 0
        self._present = 0

    async def gone(self) -> None:
        """Wait until all have left."""
        while self._present:
            await asyncio.sleep(0.01)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visitors += 1
        self._present += 1
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self._present -= 1


def through(
    preset: Preset,
    talk: Callable[[Proxy, Ends], Awaitable[None]],
    contacts: Contacts | None = None,
    echo: Echo | None = None,
) -> Proxy:
    """Let a client talk to an echo through a link."""

    async def run() -> Proxy:
        echoes = echo or Echo()
        server = await asyncio.start_server(echoes, *LOCAL)
        channel = Channel(preset, contacts or Always(), Random(1))
        broker = server.sockets[0].getsockname()[:2]
        async with server:
            async with Proxy(channel, LOCAL, broker, SPEED) as link:
                reader, writer = await asyncio.open_connection(*link.address)
                await talk(link, (reader, writer))
                writer.close()
                await writer.wait_closed()
            await echoes.gone()
        return link

    return asyncio.run(asyncio.wait_for(run(), 30))


async def ask(link: Proxy, ends: Ends, data: bytes) -> float:
    """Seconds of the link until data came back."""
    reader, writer = ends
    start_ns = link.now_ns
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    return (link.now_ns - start_ns) / S


def test_the_same_bytes_come_out_whatever_the_link_does_to_them(a_link: Link) -> None:
    lossy = {"value": 20, "unit": "%", "source": "assumption"}
    jitter = {"value": 40, "unit": "ms", "source": "assumption"}
    fast = {"value": 20, "unit": "Mbit/s", "source": "assumption"}
    changes = {"up__loss": lossy, "up__jitter": jitter, "up__rate": fast, "down__rate": fast}

    async def talk(link: Proxy, ends: Ends) -> None:
        for size in (1, 2000, 300_000):
            await ask(link, ends, Random(size).randbytes(size))

    link = through(a_link("ip", **changes), talk)
    assert link.passed.bytes_up == link.passed.bytes_down == 302_001


def test_a_round_trip_takes_as_long_as_over_the_link(a_link: Link) -> None:
    async def talk(link: Proxy, ends: Ends) -> None:
        # The handshake of TCP is a round trip of its own.
        assert await ask(link, ends, b"first") >= 0.2
        found_s = [await ask(link, ends, b"again") for _ in range(5)]
        assert min(found_s) >= 0.1 + 4 * 8 * 15 / 9600 / 2
        assert min(found_s) < 1.0

    through(a_link("ip"), talk)


def test_no_more_passes_than_the_rate_allows(a_link: Link) -> None:
    async def talk(link: Proxy, ends: Ends) -> None:
        size = 12_000
        found_s = await ask(link, ends, bytes(size))
        assert found_s >= 8 * size / 9600
        assert found_s < 4 * 8 * size / 9600

    through(a_link("ip"), talk)


def test_what_is_written_while_there_is_no_contact_waits_for_the_next(a_link: Link) -> None:
    contacts = Cycle(10 * S, 10 * S)

    async def talk(link: Proxy, ends: Ends) -> None:
        await ask(link, ends, b"now")
        await asyncio.sleep((12 - link.now_ns / S) / SPEED)
        await ask(link, ends, b"later")
        assert link.now_ns >= 20 * S

    through(a_link("ip"), talk, contacts)


def test_the_broker_hears_nothing_of_a_node_that_gave_up_before_the_link_answered(
    a_link: Link,
) -> None:
    contacts = Cycle(2 * S, 10 * S)
    echo = Echo()

    async def talk(link: Proxy, ends: Ends) -> None:
        await ask(link, ends, b"hello")
        await asyncio.sleep((3 - link.now_ns / S) / SPEED)
        _, writer = await asyncio.open_connection(*link.address)
        writer.write(b"is anybody there?")
        await asyncio.sleep(2 / SPEED)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep((14 - link.now_ns / S) / SPEED)

    link = through(a_link("ip"), talk, contacts, echo)
    assert link.passed.connections == 2
    assert echo.visitors == 1


def test_an_absent_broker_ends_the_connection(a_link: Link) -> None:
    async def run() -> None:
        channel = Channel(a_link("ip"), Always(), Random(1))
        server = await asyncio.start_server(Echo(), *LOCAL)
        nobody = server.sockets[0].getsockname()[:2]
        server.close()
        await server.wait_closed()
        async with Proxy(channel, LOCAL, nobody, SPEED) as link:
            reader, writer = await asyncio.open_connection(*link.address)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_link_without_ip_carries_no_mqtt() -> None:
    channel = Channel(open_preset("lorawan-dr5"), Always(), Random(1))
    with pytest.raises(LinkError, match="datagrams"):
        Proxy(channel, LOCAL, LOCAL)


def test_a_port_in_use_is_one_line(a_link: Link) -> None:
    async def run() -> None:
        server = await asyncio.start_server(Echo(), *LOCAL)
        taken = server.sockets[0].getsockname()[:2]
        async with server:
            with pytest.raises(LinkError, match=r"in use; choose another --listen"):
                async with Proxy(Channel(a_link("ip"), Always(), Random(1)), taken, LOCAL):
                    pass

    asyncio.run(run())


def test_places() -> None:
    assert read_place("127.0.0.1:1883") == ("127.0.0.1", 1883)
    for text in ("127.0.0.1", ":1", "a:b", "a:65536", ""):
        with pytest.raises(LinkError, match="HOST:PORT"):
            read_place(text)
