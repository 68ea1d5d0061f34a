"""MQTT over IP: connections that are made, fall silent and are made again; acknowledgements.

The times are those of the device's uplink, its MQTT client and a usual broker, so that simulated
nodes lose and find their gateway when real ones do.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tactic_delivery.entry import PacketKey
from tactic_link.capacity import PUBLISH_BYTES
from tactic_link.channel import Channel, Transit
from tactic_link.events import Alarm, Events
from tactic_link.gateway import COMMIT_NS, Gateway
from tactic_link.outlet import Outlet
from tactic_link.path import End
from tactic_link.preset import Way
from tactic_link.windows import S

KEEPALIVE_NS = 30 * S
#: a broker waits half as long again (MQTT 5, 3.1.2.10)
BROKER_NS = 45 * S
ANSWER_NS = 10 * S
STEADY_NS = 10 * S
FIRST_RETRY_NS, LAST_RETRY_NS = 1 * S, 10 * S
HEALTH_NS = 30 * S

#: TCP; CONNECT and CONNACK; subscriptions, state, birth and the gateway's retained presence
HANDSHAKE = (
    (Way.UP, 0),
    (Way.DOWN, 0),
    (Way.UP, 150),
    (Way.DOWN, 40),
    (Way.UP, 800),
    (Way.DOWN, 150),
)
_ACCEPTED = 4
HEALTH_BYTES = 450
PING_BYTES = 2
#: topic and header of an acknowledgement
ACK_PUBLISH_BYTES = 32


class IpPath:
    """One node's path over a link with IP.

    Parameters
    ----------
    channel : Channel
    gateway : Gateway
    events : Events
    rng : random.Random
        Jitter of reconnection.
    """

    def __init__(self, channel: Channel, gateway: Gateway, events: Events, rng: Random) -> None:
        self._channel = channel
        self._gateway = gateway
        self._events = events
        self._rng = rng
        self._out = {way: Outlet(channel, way, events) for way in Way}
        self._arrived_ns = dict.fromkeys(Way, 0)
        self._silence = Alarm(events, self._on_silence)
        self._patience = Alarm(events, self._on_closed)
        self._health = Alarm(events, self._send_health)
        self._commit = Alarm(events, self._acknowledge)
        self._node: End | None = None
        self._boot = 0
        self._life = 0
        self._accepted_ns: int | None = None
        self._heard_ns = 0
        self._dropped = False
        self._pinged = False
        self._open = False
        self._failures = 0

    def start(self, node: End) -> None:
        """See `Path`."""
        self._node = node
        self._connect()

    def send(self, key: PacketKey, packet: bytes) -> None:
        """See `Path`."""
        self._put(Way.UP, len(packet) + PUBLISH_BYTES, lambda: self._on_packet(packet))

    def forget(self, key: PacketKey, arrived: bool) -> None:
        """See `Path`: what TCP has, it sends."""

    def _connect(self) -> None:
        self._life += 1
        self._accepted_ns = None
        self._heard_ns = self._events.now_ns
        self._dropped = False
        self._patience.set(self._events.now_ns + ANSWER_NS)
        self._shake(0)

    def _shake(self, step: int) -> None:
        """Take the next step of the handshake."""
        if step == _ACCEPTED:
            self._patience.set(None)
            self._channel.meter.sessions += 1
            self._accepted_ns = self._events.now_ns
        if step < len(HANDSHAKE):
            way, size_bytes = HANDSHAKE[step]
            self._put(way, size_bytes, lambda: self._shake(step + 1))
            return
        self._open = True
        self._health.set(self._events.now_ns + HEALTH_NS)
        if self._node:
            self._node.on_link(True)

    def _put(self, way: Way, size_bytes: int, arrived: Callable[[], None]) -> None:
        life = self._life

        def on_arrival() -> None:
            if life == self._life and self._is_alive(way):
                arrived()

        def on_sent(transit: Transit) -> None:
            # TCP delivers in order: what is behind a lost packet waits for it.
            arrive_ns = max(transit.arrive_ns or 0, self._arrived_ns[way])
            self._arrived_ns[way] = arrive_ns
            self._events.at(arrive_ns, on_arrival)

        self._out[way].put(size_bytes, on_sent)

    def _is_alive(self, way: Way) -> bool:
        """Whether the end at which something arrives still has the connection."""
        if way is Way.DOWN:
            self._listen()
            return True
        silent_ns = self._events.now_ns - self._heard_ns
        self._heard_ns = self._events.now_ns
        if silent_ns > BROKER_NS and not self._dropped:
            self._dropped = True
            life, back_ns = self._life, self._channel.preset.down.delay.ns
            self._events.at(self._events.now_ns + back_ns, lambda: self._on_end(life))
        return not self._dropped

    def _on_end(self, life: int) -> None:
        """The broker has ended a connection, long after the node was heard last."""
        if life == self._life:
            self._on_closed()

    def _listen(self) -> None:
        self._pinged = False
        self._silence.set(self._events.now_ns + KEEPALIVE_NS)

    def _on_silence(self) -> None:
        if self._pinged:
            self._on_closed()
            return
        self._pinged = True
        self._silence.set(self._events.now_ns + KEEPALIVE_NS)
        self._put(Way.UP, PING_BYTES, lambda: self._put(Way.DOWN, PING_BYTES, self._listen))

    def _on_closed(self) -> None:
        self._life += 1
        for alarm in (self._silence, self._patience, self._health, self._commit):
            alarm.set(None)
        for outlet in self._out.values():
            outlet.clear()
        self._arrived_ns = dict.fromkeys(Way, 0)
        if self._open and self._node:
            self._open = False
            self._node.on_link(False)
        self._retry()

    def _retry(self) -> None:
        accepted_ns = self._accepted_ns
        if accepted_ns is not None and self._events.now_ns - accepted_ns > STEADY_NS:
            self._failures = 0
        wait_ns = min(LAST_RETRY_NS, FIRST_RETRY_NS << min(self._failures, 10))
        self._failures += 1
        wait_ns = int(wait_ns * self._rng.uniform(0.5, 1.0))
        self._events.at(self._events.now_ns + wait_ns, self._connect)

    def _send_health(self) -> None:
        self._put(Way.UP, HEALTH_BYTES, lambda: None)
        self._health.set(self._events.now_ns + HEALTH_NS)

    def _on_packet(self, packet: bytes) -> None:
        boot = self._gateway.receive(packet, self._events.now_ns)
        if boot is not None:
            self._boot = boot
            self._commit.sooner(self._events.now_ns + COMMIT_NS)

    def _acknowledge(self) -> None:
        raw = self._gateway.ack(self._boot)
        self._put(Way.DOWN, len(raw) + ACK_PUBLISH_BYTES, lambda: self._on_ack(raw))

    def _on_ack(self, raw: bytes) -> None:
        # TCP acknowledges the acknowledgement.
        self._put(Way.UP, 0, lambda: None)
        if self._node:
            self._node.on_ack(raw)
