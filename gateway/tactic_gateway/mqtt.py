"""The connection to the broker: presence, subscriptions, publishing, coming back.

MQTT 5 with clean start and session expiry 0 (the nodes' outboxes are the memory, the broker is
a lossy pipe); MQTT 3.1.1 where the broker knows nothing newer.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from paho.mqtt.client import (
    MQTT_CLEAN_START_FIRST_ONLY,
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tactic_codec.broker import Mqtt
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.reader import MAX_PAYLOAD_BYTES, Message
from tactic_gateway.topics import Topics

QUEUED_MESSAGES = 10_000
# However long a broker was away, frames flow again within 15 s of its return.
LAST_RETRY_S = 10
ONLINE = json.dumps({"state": "online"}).encode()
OFFLINE = json.dumps({"state": "offline"}).encode()
_TOPIC_BYTES = 1 << 16
_UNSUPPORTED_VERSION = 132
_REFUSALS_BEFORE_DOWNGRADE = 2


class Broker:
    """One connection that looks after itself.

    Parameters
    ----------
    config : Mqtt
    topics : Topics
    metrics : Metrics
    log : Log
    rng : random.Random
        Client id and the jitter of reconnection.

    Raises
    ------
    ConfigError
        The password or a certificate cannot be read.
    """

    def __init__(
        self,
        config: Mqtt,
        topics: Topics,
        *,
        metrics: Metrics,
        log: Log,
        rng: random.Random,
    ) -> None:
        self._config = config
        self._topics = topics
        self._deliver: Callable[[Message], None]
        self._greet: Callable[[], None]
        self._metrics = metrics
        self._log = log
        self._rng = rng
        # Two gateways with one client id would throw each other out for ever.
        self._client_id = f"tactic-gateway-{topics.site}-{rng.getrandbits(32):08x}"
        self._password = config.secret()
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._refusals = 0
        self._greeted = False
        self._down = False
        self._stopping = False
        self._online = True
        self._client = self._make()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and still holds it."""
        return self._client.is_connected()

    def start(self, deliver: Callable[[Message], None], greet: Callable[[], None]) -> None:
        """Begin to connect, in a thread of its own; a broker that is down is waited for.

        Parameters
        ----------
        deliver : callable (Message)
            Called in that thread for every packet, birth and health message; must not block.
        greet : callable
            Called in that thread after every connection; must not block.
        """
        self._deliver, self._greet = deliver, greet
        self._connect()

    def _connect(self) -> None:
        newest = self._protocol == MQTTProtocolVersion.MQTTv5
        self._client.connect_async(
            self._config.host,
            self._config.port,
            self._config.keepalive_s,
            clean_start=True if newest else MQTT_CLEAN_START_FIRST_ONLY,
            properties=_largest() if newest else None,
        )
        self._client.loop_start()

    def tend(self) -> None:
        """Change to MQTT 3.1.1 if the broker needs it. Call it every second or so."""
        refused = self._refusals >= _REFUSALS_BEFORE_DOWNGRADE and not self._greeted
        if refused and self._protocol == MQTTProtocolVersion.MQTTv5:
            self._client.disconnect()
            self._client.loop_stop()
            self._protocol = MQTTProtocolVersion.MQTTv311
            self._log.warning("mqtt_downgrade", version="3.1.1")
            self._client = self._make()
            self._connect()

    def announce(self, online: bool) -> None:
        """Say whether packets are taken: nodes are silent while they are not."""
        if online is not self._online:
            self._online = online
            if self.connected:
                self._client.publish(self._topics.presence, ONLINE if online else OFFLINE, 1, True)

    def publish(self, topic: str, payload: str | bytes, qos: int, retain: bool) -> None:
        """Send, or queue while the broker is away; counted as ``unsent`` where neither goes.

        Messages of QoS 0 are not queued.
        """
        if qos == 0 and not self.connected:
            return
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            self._metrics.add("unsent")

    def stop(self, timeout_s: float) -> None:
        """Say goodbye: nodes stop sending at once instead of waiting for the last will."""
        self._stopping = True
        if self.connected:
            info = self._client.publish(self._topics.presence, OFFLINE, 1, True)
            deadline = time.monotonic() + timeout_s
            # What the connection took with it raises.
            with suppress(RuntimeError, ValueError):
                while not info.is_published() and self.connected and time.monotonic() < deadline:
                    time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()

    def _make(self) -> Client:
        config = self._config
        newest = self._protocol == MQTTProtocolVersion.MQTTv5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if newest else True,
            protocol=self._protocol,
        )
        if config.user is not None:
            client.username_pw_set(config.user, self._password)
        if config.tls is not None:
            client.tls_set_context(config.tls.context())
        client.will_set(self._topics.presence, OFFLINE, 1, True)
        client.max_queued_messages_set(QUEUED_MESSAGES)
        client.reconnect_delay_set(self._rng.randint(1, 3), self._rng.randint(6, LAST_RETRY_S))
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(
        self,
        client: Client,
        _userdata: Any,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            if reason.value == _UNSUPPORTED_VERSION:
                self._refusals = _REFUSALS_BEFORE_DOWNGRADE
            self._warn_once(f"refused: {reason}")
            return
        self._down, self._greeted = False, True
        self._log.info("mqtt_connected", host=self._config.host, port=self._config.port)
        topics = self._topics
        ours = (topics.frames, topics.births, topics.healths, topics.presence)
        client.subscribe([(topic, 1) for topic in ours])
        client.publish(topics.presence, ONLINE if self._online else OFFLINE, 1, True)
        self._greet()

    def _on_connect_fail(self, _client: Client, _userdata: Any) -> None:
        # paho calls this while it handles the exception, and does not pass it on.
        self._warn_once(str(sys.exc_info()[1] or "no connection"))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: Any,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not self._greeted:
            self._refusals += 1
        if not self._stopping:
            self._warn_once(f"disconnected: {reason}")

    def _on_message(self, client: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # a broker that checks nothing
            topic = ""
        if topic == self._topics.presence:
            # The last will of an earlier connection may come late and would silence the nodes.
            if message.payload == OFFLINE and self._online and not self._stopping:
                client.publish(self._topics.presence, ONLINE, 1, True)
            return
        if topic != self._topics.health:
            answer_bytes = _answer_bytes(message.properties)
            self._deliver(Message(topic, bytes(message.payload), time.time_ns(), answer_bytes))

    def _warn_once(self, cause: str) -> None:
        if not self._down:
            self._down = True
            place = f"{self._config.host}:{self._config.port}"
            remedy = "trying again; check [mqtt] and the broker"
            self._log.warning("mqtt_down", broker=place, cause=cause, remedy=remedy)


def _answer_bytes(properties: Properties | None) -> int | None:
    """What a bridge says about its link, if it does."""
    for name, value in getattr(properties, "UserProperty", []):
        if name == "answer_bytes" and value.isascii() and value.isdigit() and len(value) <= 9:
            return int(value)
    return None


def _largest() -> Properties:
    """Ask the broker to keep back what is longer than any packet: it would fill the memory."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = MAX_PAYLOAD_BYTES + _TOPIC_BYTES
    return properties
