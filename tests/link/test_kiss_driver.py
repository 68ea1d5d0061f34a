"""The driver that the documents show: a node's and a ground's, with a radio of two pseudo-ttys."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

DRIVER = Path(__file__).parents[2] / "link/examples/kiss_driver.py"
Socket = socket.socket


def udp(stack: ExitStack) -> Socket:
    made = stack.enter_context(Socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.bind(("127.0.0.1", 0))
    made.settimeout(10.0)
    return made


def free_place() -> str:
    with Socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def radio(one: int, other: int) -> None:
    try:
        while data := os.read(one, 4096):
            os.write(other, data)
    except OSError:  # the test has ended
        return


@pytest.fixture
def ends() -> Iterator[tuple[Socket, tuple[str, int], Socket]]:
    """The node's socket, where it sends to, and the bridge's socket."""
    with ExitStack() as stack:
        node, bridge = udp(stack), udp(stack)
        masters, lines = [], []
        for _ in range(2):
            master, line = os.openpty()
            tty.setraw(master)
            masters.append(master)
            lines.append(line)
            stack.callback(os.close, line)
        places = [free_place(), free_place()]
        to = [[], [f"127.0.0.1:{bridge.getsockname()[1]}"]]
        for line, listen, more in zip(lines, places, to, strict=True):
            command = [sys.executable, str(DRIVER), os.ttyname(line), listen, *more]
            driver = subprocess.Popen(command)
            stack.callback(driver.wait)
            stack.callback(driver.kill)
        for one, other in (masters, reversed(masters)):
            threading.Thread(target=radio, args=(one, other), daemon=True).start()
        host, _, port = places[0].rpartition(":")
        yield node, (host, int(port)), bridge
    for master in masters:
        os.close(master)


def test_datagrams_pass_both_ways(ends: tuple[Socket, tuple[str, int], Socket]) -> None:
    node, driver, bridge = ends
    rng = Random(1)
    datagrams = [b"\xc0\xdb\xdc\xdd" * 3, *(rng.randbytes(51) for _ in range(20))]
    bridge.settimeout(0.2)
    for _ in range(50):  # until both drivers are there
        node.sendto(b"\x40first", driver)
        try:
            _, ground = bridge.recvfrom(100)
            break
        except TimeoutError:
            continue
    bridge.settimeout(10.0)
    for datagram in datagrams:
        node.sendto(datagram, driver)
        node.sendto(b"", driver)
        found, ground = bridge.recvfrom(100)
        while found == b"\x40first":
            found, ground = bridge.recvfrom(100)
        assert found == datagram
        bridge.sendto(datagram[::-1], ground)
        assert node.recvfrom(100)[0] == datagram[::-1]
