"""What the gateway holds of each boot of each node, and the acknowledgements that say so."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from tactic_codec.packet import Packet
from tactic_delivery import ack
from tactic_delivery.receiver import Receipt, Receiver
from tactic_gateway.store import Store

MAX_RECEIVERS = 1024

NodeBoot = tuple[str, int]


class Receivers:
    """Receivers by (node, boot), each built from the store when its boot is first heard of.

    The store stays the truth: a receiver that is forgotten is built again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._receivers: OrderedDict[NodeBoot, Receiver] = OrderedDict()

    def record(self, node: str, packet: Packet) -> Receipt:
        """Take note of a packet that is about to be committed.

        Raises
        ------
        PacketError
            A DROP packet that cannot be believed.
        StoreError
            The store cannot be read.
        """
        where = (node, packet.boot)
        if where not in self._receivers:
            self._receivers[where] = Receiver(packet.boot, self._store.settled(*where))
        self._receivers.move_to_end(where)
        return self._receivers[where].record(packet)

    def acknowledge(self, touched: Iterable[NodeBoot], window: int) -> list[tuple[str, bytes]]:
        """Acknowledgements for boots whose packets have been committed, with their nodes."""
        acks = [
            (where[0], ack.pack(self._receivers[where].ack(window))) for where in sorted(touched)
        ]
        while len(self._receivers) > MAX_RECEIVERS:
            self._receivers.popitem(last=False)
        return acks

    def forget(self, touched: Iterable[NodeBoot]) -> None:
        """Drop what was noted of packets whose commit failed."""
        for where in touched:
            self._receivers.pop(where, None)
