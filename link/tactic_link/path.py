"""Between a node and its gateway: what a bearer does, whichever it is."""

from __future__ import annotations

from typing import Protocol

from tactic_delivery.entry import PacketKey


class End(Protocol):
    """The node, as its path sees it."""

    def on_link(self, up: bool) -> None:
        """Note that the gateway can be reached, or no longer."""

    def on_ack(self, raw: bytes) -> None:
        """Take an acknowledgement."""


class Path(Protocol):
    """Carries packets to the gateway and acknowledgements back."""

    def start(self, node: End) -> None:
        """Begin; the node is told when the gateway can be reached."""

    def send(self, key: PacketKey, packet: bytes) -> None:
        """Have a packet sent. One that still waits or is not overdue is not sent twice."""

    def forget(self, key: PacketKey, arrived: bool) -> None:
        """A packet needs no sending any more: it arrived, or the node gave it up."""
