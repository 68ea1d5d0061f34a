"""What the gateway holds of each boot of each node, and the acknowledgements that say so."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from tactic_codec.errors import PacketError
from tactic_codec.packet import Packet
from tactic_delivery.ack import Ack
from tactic_delivery.receiver import Receipt, Receiver
from tactic_gateway.settled import NodeBoot
from tactic_gateway.store import Store

MAX_RECEIVERS = 1024
#: Ranges of numbers held of all boots, and of one. A node that sends in any order by itself
#: leaves fewer gaps than its outbox has packets.
MAX_RANGES = 500_000
MAX_RANGES_OF_BOOT = 250_000


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
            A DROP packet that cannot be believed; ``gaps``: a boot with more gaps than a node
            leaves.
        StoreError
            The store cannot be read.
        """
        receiver = self._find((node, packet.boot))
        if receiver.ranges >= MAX_RANGES_OF_BOOT and packet.pkt not in receiver:
            raise PacketError("gaps", f"boot {packet.boot} has {receiver.ranges} gaps")
        return receiver.record(packet)

    def acknowledge(self, boots: Iterable[NodeBoot], window: int) -> list[tuple[str, Ack]]:
        """Acknowledgements for boots, all of whose recorded packets are committed.

        Raises
        ------
        StoreError
            The store cannot be read.
        """
        acks = [(where[0], self._find(where).ack(window)) for where in sorted(boots)]
        held = sum(receiver.ranges for receiver in self._receivers.values())
        while len(self._receivers) > MAX_RECEIVERS or held > MAX_RANGES:
            _, receiver = self._receivers.popitem(last=False)
            held -= receiver.ranges
        return acks

    def forget(self, boots: Iterable[NodeBoot]) -> None:
        """Drop what was noted of packets whose commit failed."""
        for where in boots:
            self._receivers.pop(where, None)

    def clear(self) -> None:
        """Forget everything: the store was opened anew."""
        self._receivers.clear()

    def _find(self, where: NodeBoot) -> Receiver:
        if where not in self._receivers:
            self._receivers[where] = Receiver(where[1], self._store.settled(*where))
        self._receivers.move_to_end(where)
        return self._receivers[where]
