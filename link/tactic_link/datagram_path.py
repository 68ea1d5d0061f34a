"""Datagrams to a ground bridge: packets cut to size, assembled, acknowledged when there is a turn.

The datagrams and their assembly are those of the real bridge. The link keeps their order. So the
bridge need not wait for the rest of a packet once another one begins, and the node sends a packet
again as soon as it hears that a later one arrived. Where an acknowledgement may be older than the
last datagram, one of a packet that was sent twice tells nothing: the first copy may be meant.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from tactic_delivery.allowance import Allowance
from tactic_delivery.assembly import Assembler, Caps
from tactic_delivery.datagrams import POLL, cut
from tactic_delivery.entry import PacketKey
from tactic_delivery.limits import Limits
from tactic_link.bridge import trim
from tactic_link.channel import Channel, Transit
from tactic_link.events import Alarm, Events
from tactic_link.gateway import COMMIT_NS, Gateway
from tactic_link.outlet import Outlet
from tactic_link.path import End
from tactic_link.preset import Preset, Way
from tactic_link.windows import Contacts, S

#: how soon the node asks for an answer that it misses, where the ground cannot speak by itself
FIRST_POLL_NS = 30 * S
LEAST_PATIENCE_NS = 60 * S
REPEAT_NS = 600 * S
ANSWERED_WINDOW = 8
#: while one packet is on air, the next must be there; of small ones, a second's worth
LEAST_BACKLOG = 3
#: until a round trip was seen: several packets may wait before the first one
FIRST_TIMEOUT_NS = 30 * S


def limits(preset: Preset) -> Limits:
    """What the sender has to know of a bearer: some answer after minutes, or after hours."""
    if preset.bearer == "ip":
        return Limits()
    if not preset.answers:
        return Limits(
            least_backlog=LEAST_BACKLOG,
            least_bytes=int(preset.up.rate.base / 8) if preset.up.rate else 0,
            first_timeout_ns=FIRST_TIMEOUT_NS,
        )
    repeat_ns = max(REPEAT_NS, 2 * patience_ns(preset))
    return Limits(
        window_packets=ANSWERED_WINDOW,
        first_timeout_ns=repeat_ns,
        most_timeout_ns=repeat_ns,
        least_backlog=LEAST_BACKLOG,
    )


def patience_ns(preset: Preset) -> int:
    """How long the rest of a packet may take: as long as a spent budget makes the node wait."""
    return max([LEAST_PATIENCE_NS, *(b.window.ns for b in preset.budgets if not b.optional)])


class DatagramPath:
    """One node's path over a link without IP.

    Parameters
    ----------
    channel : Channel
    contacts : Contacts
    gateway : Gateway
    events : Events
    beginnings : bool
        Whether the bridge passes on frames of which only the beginning arrived.
    allowance : Allowance or None
        The node's; the path books what it sends by itself.
    """

    def __init__(
        self,
        channel: Channel,
        contacts: Contacts,
        gateway: Gateway,
        events: Events,
        beginnings: bool,
        allowance: Allowance | None = None,
    ) -> None:
        self._allowance = allowance
        self._channel = channel
        self._preset = channel.preset
        answers, up = self._preset.answers, self._preset.up
        self._prompt = answers is not None and answers.delay.ns >= up.delay.ns + COMMIT_NS
        self._contacts = contacts
        self._gateway = gateway
        self._events = events
        self._up = Outlet(channel, Way.UP, events)
        self._down = Outlet(channel, Way.DOWN, events)
        caps = Caps(packets=1, patience_ns=patience_ns(self._preset), beginnings=beginnings)
        self._assembler = Assembler(caps)
        self._overdue = Alarm(events, self._give_up)
        self._commit = Alarm(events, self._acknowledge)
        self._poll = Alarm(events, self._ask)
        self._poll_ns = FIRST_POLL_NS
        self._held: dict[PacketKey, int] = {}
        self._sent: dict[PacketKey, bytes] = {}
        self._repeated: set[PacketKey] = set()
        self._missing: set[PacketKey] = set()
        self._answer: bytes | None = None
        self._boot = 0
        self._node: End | None = None
        self._life = 0

    def start(self, node: End) -> None:
        """See `Path`."""
        self._node = node
        self._await_contact()

    def send(self, key: PacketKey, packet: bytes) -> None:
        """See `Path`."""
        if key in self._held:
            return
        if key in self._sent:
            self._repeated.add(key)
            del self._sent[key]
        self._missing.discard(key)
        datagrams = cut(packet, int(self._preset.up.mtu.base))
        self._held[key] = len(datagrams)
        for datagram in datagrams:
            self._put(datagram, lambda: self._on_sent(key, packet))

    def forget(self, key: PacketKey, arrived: bool) -> None:
        """See `Path`."""
        self._missing.discard(key)
        self._held.pop(key, None)
        telling = arrived and (self._prompt or key not in self._repeated)
        self._repeated.discard(key)
        if key in self._sent:
            if telling:
                self._missing.update(takewhile(lambda earlier: earlier != key, self._sent))
            del self._sent[key]

    def _await_contact(self) -> None:
        window = self._contacts.at(self._events.now_ns)
        if window:
            self._events.at(window.start_ns, self._begin)
            self._events.at(window.end_ns, self._end)

    def _begin(self) -> None:
        if self._node:
            self._node.on_link(True)

    def _end(self) -> None:
        self._life += 1
        self._up.clear()
        self._down.clear()
        self._held.clear()
        self._sent.clear()
        self._repeated.clear()
        self._poll.set(None)
        if self._node:
            self._node.on_link(False)
        self._await_contact()

    def _put(self, datagram: bytes, done: Callable[[], None], first: bool = False) -> None:
        life = self._life

        def on_begin(transit: Transit) -> None:
            if self._preset.answers:
                self._listen(transit)
            if transit.arrive_ns is not None:
                self._events.at(transit.arrive_ns, lambda: self._on_datagram(datagram))
                self._events.at(transit.end_ns, on_end)
            elif self._preset.confirmed:
                self._events.at(transit.end_ns, lambda: self._again(life, datagram, done))
            else:
                self._events.at(transit.end_ns, on_end)

        def on_end() -> None:
            if life == self._life:
                done()

        self._up.put(len(datagram), on_begin, first)

    def _again(self, life: int, datagram: bytes, done: Callable[[], None]) -> None:
        """The modem was told that a datagram failed."""
        if life == self._life:
            if self._allowance:
                self._allowance.take(self._events.now_ns, len(datagram))
            self._put(datagram, done, first=True)

    def _on_sent(self, key: PacketKey, packet: bytes) -> None:
        if key not in self._held:
            return
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
            self._sent[key] = packet
            self._await_answer()

    def _await_answer(self) -> None:
        if self._preset.answers and not self._held:
            self._poll.set(self._events.now_ns + self._poll_ns)

    def _ask(self) -> None:
        """Give the ground a chance to answer, ever more rarely."""
        if self._sent and not self._held:
            self._poll_ns = min(2 * self._poll_ns, patience_ns(self._preset))
            if not self._may_send(len(POLL)):
                self._await_answer()
                return
            self._put(POLL, self._await_answer)

    def _may_send(self, size_bytes: int) -> bool:
        """Ask for what the sender does not know of, and book it."""
        if self._allowance is None:
            return True
        now_ns = self._events.now_ns
        if self._allowance.earliest_ns(now_ns, size_bytes, alarm=False) != now_ns:
            return False
        self._allowance.take(now_ns, size_bytes)
        return True

    def _listen(self, transit: Transit) -> None:
        """After each datagram the ground may speak, and the node listens."""
        answers = self._preset.answers
        if answers and transit.arrive_ns is not None:
            self._channel.hold(transit.end_ns + answers.delay.ns)
            self._events.at(transit.end_ns + answers.delay.ns, self._speak)

    def _on_datagram(self, datagram: bytes) -> None:
        now_ns = self._events.now_ns
        self._publish(self._assembler.take(datagram, now_ns))
        self._overdue.set(self._assembler.wake_ns())

    def _give_up(self) -> None:
        self._publish(self._assembler.give_up(self._events.now_ns))
        self._overdue.set(self._assembler.wake_ns())

    def _publish(self, packets: list[bytes]) -> None:
        for packet in packets:
            boot = self._gateway.receive(packet, self._events.now_ns)
            if boot is not None:
                self._boot = boot
                self._commit.sooner(self._events.now_ns + COMMIT_NS)

    def _acknowledge(self) -> None:
        self._answer = trim(self._gateway.ack(self._boot), int(self._preset.down.mtu.base))
        if not self._preset.answers:
            self._speak()

    def _speak(self) -> None:
        """Send the latest acknowledgement, unless one still waits for its turn."""
        if self._answer is None or len(self._down):
            return
        raw, self._answer = self._answer, None
        life = self._life

        def on_begin(transit: Transit) -> None:
            if transit.arrive_ns is not None:
                self._events.at(transit.arrive_ns, lambda: self._on_ack(life, raw))
            self._events.at(transit.end_ns, self._speak_again)

        self._down.put(len(raw), on_begin)

    def _speak_again(self) -> None:
        if not self._preset.answers:
            self._speak()

    def _on_ack(self, life: int, raw: bytes) -> None:
        if life == self._life and self._node:
            self._poll_ns = FIRST_POLL_NS
            self._node.on_ack(raw)
            for key in sorted(self._missing):
                # What may not be sent now waits for the sender's time-out.
                if self._may_send(len(self._sent[key])):
                    self.send(key, self._sent[key])
            self._missing.clear()
