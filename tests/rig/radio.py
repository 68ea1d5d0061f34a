"""A link that loses and reorders datagrams, between a node and its bridge on the loopback."""

from __future__ import annotations

import select
import socket
import threading
from collections import Counter
from random import Random
from types import TracebackType
from typing import Self

_WAIT_S = 0.05


class Radio:
    """Carries datagrams both ways; a context manager.

    Parameters
    ----------
    bridge : int
        Port of the bridge on 127.0.0.1.
    rng : random.Random
    loss : float
        Share of the datagrams, either way, that are lost.
    late : float
        Share of those that are left which arrive after the one behind them.
    mtu_bytes : int
        A longer one is a fault.

    Attributes
    ----------
    port : int
        Where the node sends to.
    counts : Counter of str
        ``up``, ``down``, ``lost``, ``late``, ``long``.
    """

    def __init__(
        self, bridge: int, rng: Random, *, loss: float, late: float = 0.0, mtu_bytes: int
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.silent = False
        self._rng = rng
        self._loss = loss
        self._late = late
        self._mtu_bytes = mtu_bytes
        self._node: tuple[str, int] | None = None
        self._sky = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sky.bind(("127.0.0.1", 0))
        self.port: int = self._sky.getsockname()[1]
        self._ground = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ground.bind(("127.0.0.1", 0))
        self._bridge = ("127.0.0.1", bridge)
        self._held: dict[str, bytes | None] = {"up": None, "down": None}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sky.close()
        self._ground.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([self._sky, self._ground], [], [], _WAIT_S)
            if not ready:
                self._release("up")
                self._release("down")
            for each in ready:
                try:
                    datagram, sender = each.recvfrom(65_535)
                except OSError:  # the bridge is away
                    continue
                if each is self._sky:
                    self._node = sender
                self._carry("up" if each is self._sky else "down", datagram)

    def _carry(self, way: str, datagram: bytes) -> None:
        self.counts[way] += 1
        self.counts["long"] += len(datagram) > self._mtu_bytes
        if self.silent or self._rng.random() < self._loss:
            self.counts["lost"] += 1
        elif self._held[way] is None and self._rng.random() < self._late:
            self.counts["late"] += 1
            self._held[way] = datagram
        else:
            self._send(way, datagram)
            self._release(way)

    def _release(self, way: str) -> None:
        held, self._held[way] = self._held[way], None
        if held is not None:
            self._send(way, held)

    def _send(self, way: str, datagram: bytes) -> None:
        if way == "up":
            self._ground.sendto(datagram, self._bridge)
        elif self._node:
            self._sky.sendto(datagram, self._node)
