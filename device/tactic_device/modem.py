"""The way to a modem: datagrams to and from the driver that stands behind a UDP port."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

from tactic_codec.config import Place
from tactic_codec.errors import ConfigError

_MOST_BYTES = 65_535
_MOST_AT_ONCE = 64


class Modem:
    """Each UDP datagram is one datagram of the link.

    Without ``listen`` only the driver's own port is heard; with it, whoever sends there.

    Parameters
    ----------
    send_to : Place
        Of the driver; its name is looked up when it is needed.
    listen : Place or None

    Raises
    ------
    ConfigError
        Nobody can listen at ``listen``.
    """

    def __init__(self, send_to: Place, listen: Place | None = None) -> None:
        self._send_to = send_to
        self._address: tuple[object, ...] | None = None
        self._socket: socket.socket | None = None
        self._ears, self._alarm = socket.socketpair()
        self._ears.setblocking(False)
        self._alarm.setblocking(False)
        self._listen = listen
        if listen:
            try:
                self._socket = _bound(listen)
            except OSError as fault:
                self.close()
                raise ConfigError(
                    f"datagram.listen: {listen}: {fault.strerror or fault}; "
                    "choose an address of this machine and a port that is free"
                ) from fault

    @property
    def found(self) -> bool:
        """Whether the driver's name has been looked up; `send` does so, and may take its time."""
        return self._address is not None

    def send(self, datagram: bytes) -> None:
        """Hand a datagram to the driver.

        Raises
        ------
        OSError
            It is not there, or cannot be reached.
        """
        link, address = self._find() if self._address is None else (self._socket, self._address)
        assert link is not None, "found together with the address"
        try:
            link.sendto(datagram, address)
        except OSError:
            self._address = None  # the name may stand for another place by now
            raise

    def take(self, timeout_s: float) -> list[bytes]:
        """Wait for datagrams, for `wake`, or until the time is over.

        Raises
        ------
        OSError
            The driver is not there: an earlier datagram could not be delivered.
        """
        watched = [self._ears, *([self._socket] if self._socket else [])]
        ready, _, _ = select.select(watched, [], [], timeout_s)
        if self._ears in ready:
            with suppress(BlockingIOError):
                self._ears.recv(_MOST_BYTES)
        found: list[bytes] = []
        if self._socket and self._socket in ready:
            with suppress(BlockingIOError):
                while len(found) < _MOST_AT_ONCE:
                    found.append(self._socket.recv(_MOST_BYTES))
        return found

    def wake(self) -> None:
        """Have `take` return; from any thread."""
        with suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            self._alarm.send(b"!")

    def close(self) -> None:
        """Give the ports back."""
        for each in (self._socket, self._ears, self._alarm):
            if each:
                each.close()

    def _find(self) -> tuple[socket.socket, tuple[object, ...]]:
        """Look the driver's name up, in the family in which the node listens."""
        family = self._socket.family if self._socket else socket.AF_UNSPEC
        found = socket.getaddrinfo(*self._send_to, family, socket.SOCK_DGRAM)
        kind, _, _, _, address = found[0]
        if self._socket is None or (self._listen is None and self._socket.family != kind):
            if self._socket:
                self._socket.close()
            self._socket = socket.socket(kind, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        if self._listen is None:
            self._socket.connect(address)
        self._address = address
        return self._socket, address


def _bound(place: Place) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        place.host, place.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
