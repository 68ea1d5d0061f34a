"""The bridge's UDP port: whose datagrams come in, and where each node's answers go."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from tactic_codec.config import Place
from tactic_link.bridge_config import Node, Source, plain
from tactic_link.errors import LinkError

_MOST_BYTES = 65_535
_MOST_AT_ONCE = 256
_BUFFER_BYTES = 1 << 20

Address = tuple[Any, ...]


class Port:
    """Listens at one place for all nodes.

    Parameters
    ----------
    listen : Place
    nodes : iterable of Node

    Attributes
    ----------
    address : Address
        Where it listens.

    Raises
    ------
    LinkError
        Nothing can listen there.
    """

    def __init__(self, listen: Place, nodes: Iterable[Node]) -> None:
        self._nodes = {each.address: each.node for each in nodes}
        self._at: dict[str, Address] = {}
        try:
            self._socket = _bound(listen)
        except OSError as fault:
            cause = fault.strerror or str(fault)
            raise LinkError(f"{listen}: {cause}; change bridge.listen") from fault
        self.address: Address = self._socket.getsockname()
        self._ears, self._alarm = socket.socketpair()
        self._ears.setblocking(False)
        self._alarm.setblocking(False)

    def take(self, timeout_s: float) -> Iterator[tuple[str | None, Source, bytes]]:
        """Wait for datagrams, `wake` or the end of the time.

        Yields
        ------
        (node, source, datagram)
            The node is None where nobody is known to send from there.
        """
        ready, _, _ = select.select([self._socket, self._ears], [], [], timeout_s)
        if self._ears in ready:
            with suppress(BlockingIOError):
                self._ears.recv(_MOST_BYTES)
        if self._socket not in ready:
            return
        for _ in range(_MOST_AT_ONCE):
            try:
                datagram, address = self._socket.recvfrom(_MOST_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an answer found nobody: the node, or its driver, is away
                continue
            yield self._whose(address), Source(plain(address[0]), address[1]), datagram

    def send(self, node: str, datagram: bytes) -> bool:
        """Send to where the node was heard last; False where it was not, or it cannot be sent."""
        if node not in self._at:
            return False
        try:
            self._socket.sendto(datagram, self._at[node])
        except OSError:
            return False
        return True

    def wake(self) -> None:
        """Have `take` return; from any thread."""
        with suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            self._alarm.send(b"!")

    def close(self) -> None:
        """Give the port back."""
        for each in (self._socket, self._ears, self._alarm):
            each.close()

    def _whose(self, address: Address) -> str | None:
        host = plain(address[0])
        for source in (Source(host, address[1]), Source(host, None)):
            if source in self._nodes:
                node = self._nodes[source]
                self._at[node] = address
                return node
        return None


def _bound(place: Place) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        place.host, place.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        made.setblocking(False)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
