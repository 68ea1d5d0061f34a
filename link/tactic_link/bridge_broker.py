"""The bridge's connection to the broker: it looks after itself, and holds a bounded amount.

MQTT 5 with clean start, or 3.1.1 where the broker knows nothing newer. What cannot be published
at once is dropped: nothing acknowledged it, so its node sends it again.
"""

from __future__ import annotations

import random
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import (
    MQTT_CLEAN_START_FIRST_ONLY,
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTMessageInfo,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tactic_codec.broker import Mqtt
from tactic_link.log import Log

#: messages that the network has not taken yet
MOST_UNSENT = 256
#: as long as the other daemons wait at the most
LAST_RETRY_S = 10
_UNSUPPORTED_VERSION = 132
_REFUSALS_BEFORE_DOWNGRADE = 2
#: of a PUBLISH beside topic and payload
_PUBLISH_BYTES = 48


class Broker:
    """One connection for as long as the daemon runs.

    Parameters
    ----------
    config : Mqtt
    name : str
        Of the client, unique at the broker.
    topics : sequence of str
        To subscribe to.
    deliver : callable (topic, payload)
        Called in the network's thread for each message; must not block.
    log : Log

    Raises
    ------
    ConfigError
        The password or a certificate cannot be read.
    """

    def __init__(
        self,
        config: Mqtt,
        name: str,
        topics: Sequence[str],
        deliver: Callable[[str, bytes], None],
        log: Log,
    ) -> None:
        self._config = config
        self._name = name
        self._topics = topics
        self._deliver = deliver
        self._log = log
        self._secret = config.secret()
        self._context = config.tls.context() if config.tls else None
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._unsent: deque[MQTTMessageInfo] = deque()
        self._most_bytes: int | None = None
        self._refusals = 0
        self._greeted = self._down = self._stopping = False
        self._client = self._make()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and still holds it."""
        return self._client.is_connected()

    def start(self) -> None:
        """Begin to connect, in a thread of its own; a broker that is down is waited for."""
        newest = self._protocol == MQTTProtocolVersion.MQTTv5
        self._client.connect_async(
            self._config.host,
            self._config.port,
            self._config.keepalive_s,
            clean_start=True if newest else MQTT_CLEAN_START_FIRST_ONLY,
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
            self.start()

    def publish(
        self, topic: str, payload: bytes, retain: bool = False, answer_bytes: int | None = None
    ) -> str | None:
        """Send a message; why it was dropped, or None.

        Retained ones are sent with QoS 1, others with QoS 0. Over MQTT 5, ``answer_bytes`` tells
        the gateway how long an acknowledgement to this node may be.
        """
        while self._unsent and _is_settled(self._unsent[0]):
            self._unsent.popleft()
        if not self.connected or len(self._unsent) >= MOST_UNSENT:
            return "unsent"
        room = self._most_bytes
        if room is not None and len(topic) + len(payload) + _PUBLISH_BYTES > room:
            return "oversized"
        newest = self._protocol == MQTTProtocolVersion.MQTTv5
        told = _answer(answer_bytes) if newest and answer_bytes is not None else None
        sent = self._client.publish(topic, payload, int(retain), retain, told)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return "unsent"
        self._unsent.append(sent)
        return None

    def stop(self, timeout_s: float) -> None:
        """Send what was published, and disconnect."""
        self._stopping = True
        deadline_s = time.monotonic() + timeout_s
        while self.connected and time.monotonic() < deadline_s:
            if all(map(_is_settled, self._unsent)):
                break
            time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()

    def _make(self) -> Client:
        newest = self._protocol == MQTTProtocolVersion.MQTTv5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._name,
            clean_session=None if newest else True,
            protocol=self._protocol,
        )
        if self._config.user is not None:
            client.username_pw_set(self._config.user, self._secret)
        if self._context:
            client.tls_set_context(self._context)
        client.reconnect_delay_set(random.randint(1, 3), random.randint(6, LAST_RETRY_S))
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: Client, _u: Any, _f: ConnectFlags, code: ReasonCode, given: Properties | None
    ) -> None:
        if code.is_failure:
            if code.value == _UNSUPPORTED_VERSION:
                self._refusals = _REFUSALS_BEFORE_DOWNGRADE
            self._warn_once(f"refused: {code}")
            return
        self._down, self._greeted = False, True
        self._most_bytes = getattr(given, "MaximumPacketSize", None)
        self._log.info("mqtt_connected", host=self._config.host, port=self._config.port)
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_connect_fail(self, _client: Client, _userdata: Any) -> None:
        # paho calls this while it handles the exception, and does not pass it on.
        self._warn_once(str(sys.exc_info()[1] or "no connection"))

    def _on_disconnect(
        self, _c: Client, _u: Any, _f: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        if not self._greeted:
            self._refusals += 1
        if not self._stopping:
            self._warn_once(f"disconnected: {code}")

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # a broker that checks nothing
            return
        self._deliver(topic, bytes(message.payload))

    def _warn_once(self, cause: str) -> None:
        if not self._down:
            self._down = True
            place = f"{self._config.host}:{self._config.port}"
            remedy = "what comes meanwhile is sent again by its node; check [mqtt] and the broker"
            self._log.warning("mqtt_down", broker=place, cause=cause, remedy=remedy)


def _answer(size_bytes: int) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("answer_bytes", str(size_bytes))
    return properties


def _is_settled(sent: MQTTMessageInfo) -> bool:
    """Whether a message was sent, or was lost with its connection."""
    try:
        return sent.is_published()
    except (RuntimeError, ValueError):
        return True
