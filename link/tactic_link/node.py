"""A camera node of a simulation: photos from traces, the protocol of the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tactic_codec.packet import TIME_UNIT_NS, Kind, Packet, pack
from tactic_delivery import ack as ack_message
from tactic_delivery.drops import Drop
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.pending import Pending
from tactic_delivery.sender import Limits, Sender
from tactic_link.events import Alarm, Events
from tactic_link.path import Path

#: as the device's log keeps packets: three quarters of its room, and a head for each
OUTBOX_SHARE = 0.75
RECORD_BYTES = 9

_UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Camera:
    """What a node photographs, and how often.

    Attributes
    ----------
    payloads : sequence of bytes
        One for each photo; which of them comes next is drawn.
    period_ns : int
    first_ns : int
        When the first photo is taken.
    """

    payloads: Sequence[bytes]
    period_ns: int
    first_ns: int


class Node:
    """Captures, keeps, sends and forgets, as the device does with an outbox on disk.

    Parameters
    ----------
    boot : int
        Tells the nodes of a simulation apart.
    camera : Camera
    outbox_bytes : int
    events : Events
    rng : random.Random
    limits : Limits
    """

    def __init__(
        self,
        boot: int,
        camera: Camera,
        outbox_bytes: int,
        events: Events,
        rng: Random,
        limits: Limits,
    ) -> None:
        self.pending = Pending(boot, int(OUTBOX_SHARE * outbox_bytes), RECORD_BYTES)
        self._camera = camera
        self._events = events
        self._rng = rng
        self._sender = Sender(boot, rng, limits)
        self._packets: dict[PacketKey, Packet] = {}
        self._look = Alarm(events, self._poll)
        self._path: Path | None = None

    @property
    def sent_again(self) -> int:
        """Packets that were sent more than once."""
        return self._sender.sent_again

    def start(self, path: Path) -> None:
        """Begin to capture, and to send on a path."""
        self._path = path
        path.start(self)
        self._events.at(self._camera.first_ns, self._capture)

    def on_link(self, up: bool) -> None:
        """Note that the gateway can be reached, or no longer."""
        self._sender.on_connection(up)
        if up:
            self._sender.on_gateway(True, self._events.now_ns)
        self._poll()

    def on_ack(self, raw: bytes) -> None:
        """Forget what the gateway has."""
        ack = ack_message.unpack(raw)
        for settled in self._sender.on_ack(ack, self._events.now_ns):
            for entry in self.pending.settle(ack.boot, settled):
                self._forget(entry.key, arrived=True)
        self._poll()

    def _capture(self) -> None:
        now_ns = self._events.now_ns
        self._events.at(now_ns + self._camera.period_ns, self._capture)
        payload = self._camera.payloads[self._rng.randrange(len(self._camera.payloads))]
        taken = now_ns // TIME_UNIT_NS & _UINT32
        packet = self.pending.stamp(Packet(Kind.FRAME, 0, 0, payload, captured=taken))
        entry = Entry.of(packet)
        drops = self.pending.make_room(entry)
        for decision in drops:
            self._give_up(decision)
        if not any(decision.newcomers for decision in drops):
            self.pending.put(entry)
            self._keep(packet, entry)
        if self._sender.open:
            self._poll()

    def _give_up(self, decision: Drop) -> None:
        self.pending.apply(decision)
        self._sender.forget(decision.removed)
        for key in decision.removed:
            self._forget(key, arrived=False)
        self._keep(decision.packet, Entry.of(decision.packet))

    def _keep(self, packet: Packet, entry: Entry) -> None:
        self._packets[entry.key] = packet
        self._sender.add(entry)

    def _forget(self, key: PacketKey, arrived: bool) -> None:
        del self._packets[key]
        if self._path:
            self._path.forget(key, arrived)

    def _poll(self) -> None:
        poll = self._sender.poll(self._events.now_ns)
        if self._path:
            for key in poll.send:
                self._path.send(key, pack(self._packets[key]))
        self._look.set(poll.wake_ns)
