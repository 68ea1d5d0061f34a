"""The sending thread: keeps a connection, sends what the sender names, takes acknowledgements.

The broker may be away at any time, at the start too: that is one warning a time, and the node
goes on capturing into its outbox.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from random import Random

from tactic_codec.errors import PacketError
from tactic_codec.node_key import NodeKey
from tactic_delivery.errors import AckError
from tactic_device.bearer import Bearer
from tactic_device.commands import Commands
from tactic_device.connection import (
    V5,
    V311,
    Accepted,
    Arrived,
    Closed,
    Connection,
    Event,
)
from tactic_device.dispatch import Dispatch
from tactic_device.heart import UPLINK
from tactic_device.link_config import Mqtt
from tactic_device.log import Log
from tactic_device.monitor import CONNECT_S, Monitor
from tactic_device.topics import Topics

S = 1_000_000_000
ANSWER_NS = 10 * S
STEADY_NS = 10 * S
# However long a broker was away, frames flow again within 15 s of its return.
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 10.0
REFUSALS_BEFORE_CHANGE = 2
_LONGEST_WAIT_S = 1.0

Facts = Callable[[], dict[str, object]]


class Uplink(Bearer):
    """Runs between `start` and `stop`.

    Parameters
    ----------
    config : Mqtt
    topics : Topics
    dispatch : Dispatch
    key : NodeKey or None
        Believe only what the gateway said with it.
    commands : Commands or None
        Takes what comes on the topic ``cmd``.
    birth, health : callable
        Give the bodies of the two messages when they are due.
    log : Log
    clock_ns : callable
        Time since boot, nanoseconds.
    rng : random.Random
        Jitter of reconnection.
    monitor : Monitor or None
        Told that the thread works.

    Raises
    ------
    ConfigError
        The password or a certificate cannot be read.
    """

    def __init__(
        self,
        config: Mqtt,
        topics: Topics,
        dispatch: Dispatch,
        *,
        key: NodeKey | None = None,
        commands: Commands | None = None,
        birth: Facts,
        health: Facts,
        log: Log,
        clock_ns: Callable[[], int],
        rng: Random,
        monitor: Monitor | None = None,
    ) -> None:
        super().__init__(dispatch, key, log, monitor)
        config.secret()
        if config.tls:
            config.tls.context()
        self._config = config
        self._topics = topics
        self._commands = commands
        self._birth = birth
        self._health = health
        self._clock_ns = clock_ns
        self._rng = rng
        self._version = V5
        self._refusals = 0
        self._failures = 0
        self._down = False
        self._present: bool | None = None
        self._connection: Connection | None = None
        self._accepted_ns: int | None = None
        self._give_up_ns = 0
        self._retry_ns = 0
        self._health_ns = 0
        self._events: queue.SimpleQueue[tuple[Connection, Event] | None] = queue.SimpleQueue()
        self._announce = threading.Event()
        self._report_now = threading.Event()

    def announce(self) -> None:
        """Publish the birth message again: what the node runs has changed."""
        self._announce.set()
        self.wake()

    def report(self) -> None:
        """Publish the health message now: something has changed that people should know."""
        self._report_now.set()
        self.wake()

    def wake(self) -> None:
        """Look at once whether there is something to send."""
        self._events.put(None)

    def _close(self) -> None:
        if self._connection:
            self._connection.close(self._topics.of("state"), self._state("offline"))

    def _step(self) -> None:
        now_ns = self._clock_ns()
        if self._monitor:
            self._monitor.round(now_ns)
        self._watch_connection(now_ns)
        wake_ns = self._transmit(now_ns)
        self._dispatch.tend(now_ns)
        self._watch.look(now_ns)
        self._await_events(now_ns, wake_ns)

    def _watch_connection(self, now_ns: int) -> None:
        if self._connection is None and now_ns >= self._retry_ns:
            self._connect(now_ns)
        elif self._connection and self._accepted_ns is None and now_ns >= self._give_up_ns:
            self._on_closed(Closed("no answer"), now_ns)

    def _connect(self, now_ns: int) -> None:
        will = (self._topics.of("state"), self._state("offline"))
        client_id = f"tactic-{self._topics.site}-{self._topics.node}"
        self._accepted_ns = None
        self._give_up_ns = now_ns + ANSWER_NS
        self._connection = Connection(self._config, client_id, will, self._version, self._report)
        if self._monitor:
            self._monitor.heart.beat(UPLINK, CONNECT_S)
        try:
            self._connection.open()
        except OSError as fault:
            self._on_closed(Closed(fault.strerror or str(fault), answered=True), now_ns)

    def _report(self, connection: Connection, event: Event) -> None:
        self._events.put((connection, event))

    def _await_events(self, now_ns: int, wake_ns: int | None) -> None:
        due_ns = [now_ns + int(_LONGEST_WAIT_S * S)]
        due_ns += [wake_ns] if wake_ns is not None else []
        due_ns += [self._retry_ns] if self._connection is None else []
        timeout_s = max(0.0, (min(due_ns) - self._clock_ns()) / S)
        try:
            self._handle(self._events.get(timeout=timeout_s))
            while True:
                self._handle(self._events.get_nowait())
        except queue.Empty:
            return

    def _handle(self, item: tuple[Connection, Event] | None) -> None:
        if item is None or item[0] is not self._connection:
            return
        now_ns = self._clock_ns()
        event = item[1]
        if isinstance(event, Accepted):
            self._on_accepted(item[0], now_ns)
        elif isinstance(event, Closed):
            self._on_closed(event, now_ns)
        else:
            self._on_message(event, now_ns)

    def _on_accepted(self, connection: Connection, now_ns: int) -> None:
        self._accepted_ns = now_ns
        self._refusals = 0
        self._down = False
        self._health_ns = now_ns
        self._log.info("mqtt_up", broker=self._place, version=self._version.name)
        heard = self._commands.topics if self._commands else ()
        mine = [self._topics.of(name) for name in ("ack", *heard)]
        connection.subscribe(*mine, self._topics.gateway)
        connection.publish(self._topics.of("state"), self._state("online"))
        connection.publish(self._topics.of("birth"), json.dumps(self._birth()).encode())
        self._dispatch.on_connection(True)

    def _on_closed(self, event: Closed, now_ns: int) -> None:
        accepted_ns, self._accepted_ns = self._accepted_ns, None
        if self._connection:
            self._connection.close()
        self._connection = None
        self._present = None
        self._dispatch.on_connection(False)
        if accepted_ns is not None and now_ns - accepted_ns > STEADY_NS:
            self._failures = 0
        wait_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._retry_ns = now_ns + int(wait_s * self._rng.uniform(0.5, 1.0) * S)
        if accepted_ns is None and self._changes_version(event):
            self._retry_ns = now_ns
        elif not self._down:
            self._down = True
            remedy = "frames wait in the outbox; check [mqtt] and the broker"
            self._log.warning("mqtt_down", broker=self._place, cause=event.cause, remedy=remedy)

    def _changes_version(self, event: Closed) -> bool:
        """Try MQTT 3.1.1 where 5 is refused, and after two silent refusals the other one."""
        self._refusals = 0 if event.answered else self._refusals + 1
        if self._refusals < REFUSALS_BEFORE_CHANGE and not event.version:
            return False
        self._refusals = 0
        self._version = V311 if self._version == V5 else V5
        return event.version

    def _on_message(self, message: Arrived, now_ns: int) -> None:
        if message.topic == self._topics.gateway:
            self._on_presence(message.payload, now_ns)
            return
        name = message.topic.rpartition("/")[2]
        if self._commands and name in self._commands.topics:
            self._commands.receive(name, message.payload)
            return
        try:
            self._take_ack(message.payload, now_ns)
        except (AckError, PacketError) as fault:
            self._refuse_ack(fault)

    def _on_presence(self, payload: bytes, now_ns: int) -> None:
        try:
            present = json.loads(payload)["state"] == "online"
        except (ValueError, KeyError, TypeError, RecursionError):
            present = False
        if present != self._present:
            self._log.info("gateway_online" if present else "gateway_offline")
        self._present = present
        self._dispatch.on_gateway(present, now_ns)

    def _transmit(self, now_ns: int) -> int | None:
        if self._connection is None or self._accepted_ns is None:
            return None
        if now_ns >= self._health_ns or self._report_now.is_set():
            self._report_now.clear()
            self._health_ns = now_ns + int(self._config.health_s * S)
            body = json.dumps(self._health()).encode()
            self._connection.publish(self._topics.of("health"), body, qos=0)
        if self._announce.is_set():
            self._announce.clear()
            self._connection.publish(self._topics.of("birth"), json.dumps(self._birth()).encode())
        for ident, answer in self._commands.take_answers() if self._commands else ():
            self._connection.answer(self._topics.of("res"), answer, bytes.fromhex(ident))
        topic = self._topics.of("f")
        self._watch.largest_bytes = self._connection.room_bytes(topic)
        packets, wake_ns = self._dispatch.poll(now_ns, self._watch.largest_bytes)
        for packet in packets:
            self._connection.send(topic, packet.data, packet.expires_s)
            self.counts["sent_packets"] += 1
            self.counts["sent_bytes"] += len(packet.data)
        return min(wake_ns, self._health_ns) if wake_ns is not None else self._health_ns

    def _state(self, state: str) -> bytes:
        return json.dumps({"state": state, "boot": self._dispatch.boot}).encode()

    @property
    def _place(self) -> str:
        return f"{self._config.host}:{self._config.port}"
