"""A camera node of a simulation: photos from traces, the protocol of the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tactic_codec.drop import Reason
from tactic_codec.packet import HEADER_BYTES, TIME_UNIT_NS, Kind, Packet, pack
from tactic_delivery import ack as ack_message
from tactic_delivery.allowance import ALARM, Allowance
from tactic_delivery.drops import Drop
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.limits import Limits
from tactic_delivery.pending import Pending
from tactic_delivery.rate import Choice, RateControl
from tactic_delivery.sender import Sender
from tactic_delivery.skips import Skips
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
    payloads : dict of int to sequence of bytes
        For each level, one for each photo; which of them comes next is drawn.
    period_ns : int
    first_ns : int
        When the first photo is taken.
    alarms : float
        Share of the frames that are alarms.
    """

    payloads: Mapping[int, Sequence[bytes]]
    period_ns: int
    first_ns: int
    alarms: float = 0.0


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
    allowance : Allowance or None
        What its link may be given.
    control : RateControl or None
        Chooses a level, or skips, for every frame; without it, the first level.
    """

    def __init__(
        self,
        boot: int,
        camera: Camera,
        outbox_bytes: int,
        events: Events,
        rng: Random,
        limits: Limits,
        allowance: Allowance | None = None,
        control: RateControl | None = None,
    ) -> None:
        self.pending = Pending(boot, int(OUTBOX_SHARE * outbox_bytes), RECORD_BYTES)
        self._camera = camera
        self._events = events
        self._rng = rng
        self._sender = Sender(boot, rng, limits, allowance)
        self.allowance = allowance
        self._control = control
        self._skips = Skips()
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
        self._book_skips()
        alarms = self._camera.alarms
        priority = ALARM if alarms and self._rng.random() < alarms else 1
        choice = self._choose(priority)
        if choice is None:
            self._skips.note(Reason.BUDGET, now_ns)
            return
        self._put(self._code(choice, priority))
        if self._sender.open:
            self._poll()

    def _book_skips(self) -> None:
        for reason, frames in self._skips.due(self._events.now_ns):
            self._give_up(self.pending.plan_skipped(reason, frames))

    def _choose(self, priority: int) -> Choice | None:
        if self._control is None:
            return Choice(next(iter(self._camera.payloads)), None)
        return self._control.choose(self._events.now_ns, priority, self.pending.size_bytes)

    def _code(self, choice: Choice, priority: int) -> Packet:
        now_ns, of_level = self._events.now_ns, self._camera.payloads[choice.level]
        whole = payload = of_level[self._rng.randrange(len(of_level))]
        if choice.budget_bytes is not None:
            payload = whole[: choice.budget_bytes - HEADER_BYTES]
        if self._control:
            size_bytes = HEADER_BYTES + len(payload)
            self._control.note(now_ns, choice.level, size_bytes, whole is payload)
        taken = now_ns // TIME_UNIT_NS & _UINT32
        packet = Packet(
            Kind.FRAME, 0, 0, payload, captured=taken, level=choice.level, priority=priority
        )
        return self.pending.stamp(packet)

    def _put(self, packet: Packet) -> None:
        entry = Entry.of(packet)
        drops = self.pending.make_room(entry)
        for decision in drops:
            self._give_up(decision)
        if not any(decision.turned_away for decision in drops):
            self.pending.put(entry)
            self._keep(packet, entry)

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
