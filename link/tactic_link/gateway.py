"""The gateway of a simulation: the protocol's receivers, and a recorder instead of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tactic_codec.errors import PacketError
from tactic_codec.packet import HEADER_BYTES, TIME_UNIT_NS, Kind, unpack
from tactic_delivery import ack as ack_message
from tactic_delivery.allowance import ALARM
from tactic_delivery.receiver import Receiver
from tactic_link.outcome import Recorder

#: as a real gateway with an empty queue grants
WINDOW_PACKETS = 1024
#: from the arrival of a packet at the broker to the acknowledgement after its commit
COMMIT_NS = 10_000_000
#: the beginning of every payload names the photo
PHOTO_BYTES = 2


class Gateway:
    """Stores the packets of all nodes of a simulation.

    Parameters
    ----------
    recorder : Recorder
    payloads : dict of int to sequence of bytes
        Of every photo at every level, in full.
    """

    def __init__(self, recorder: Recorder, payloads: Mapping[int, Sequence[bytes]]) -> None:
        self._recorder = recorder
        self._payloads = payloads
        self._receivers: dict[int, Receiver] = {}

    def receive(self, data: bytes, now_ns: int) -> int | None:
        """Take a packet; return the boot to be acknowledged, None for what is no packet."""
        try:
            packet = unpack(data)
            receiver = self._receivers.setdefault(packet.boot, Receiver(packet.boot))
            receipt = receiver.record(packet)
        except PacketError:
            return None
        if receipt.new and packet.kind is Kind.FRAME:
            photo = int.from_bytes(packet.payload[:PHOTO_BYTES], "little")
            share = len(packet.payload) / len(self._payloads[packet.level][photo])
            taken_ns = packet.captured * TIME_UNIT_NS
            size_bytes = HEADER_BYTES + len(packet.payload)
            self._recorder.store(photo, packet.level, size_bytes, share, taken_ns, now_ns)
            self._recorder.alarms += packet.priority >= ALARM
        return packet.boot

    def ack(self, boot: int) -> bytes:
        """The acknowledgement of a boot as it stands now."""
        return ack_message.pack(self._receivers[boot].ack(WINDOW_PACKETS))
