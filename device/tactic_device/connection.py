"""One connection to the broker, from CONNECT to its end. The next one is a new object.

paho's own thread only turns what happens into events; all decisions are the uplink's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tactic_device.link_config import Mqtt

V5 = MQTTProtocolVersion.MQTTv5
V311 = MQTTProtocolVersion.MQTTv311

_ALIAS = 1
_GOODBYE_S = 2.0
# Of a PUBLISH beside topic and payload: header, lengths, alias, expiry.
_PUBLISH_BYTES = 1 + 4 + 2 + 1 + 3 + 5
_UNSUPPORTED_VERSION = 0x84


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker took the connection."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection was refused or has ended.

    ``answered``: the broker refused it in words; ``version``: because it knows no MQTT 5.
    """

    cause: str
    answered: bool = False
    version: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message on a subscribed topic."""

    topic: str
    payload: bytes


Event = Accepted | Closed | Arrived


class Connection:
    """A client of one broker for one connection.

    Parameters
    ----------
    config : Mqtt
    client_id : str
    will : (topic, payload)
        Retained; published by the broker when the node vanishes.
    version : MQTTProtocolVersion
    report : callable (Connection, Event)
        Called from another thread.
    """

    def __init__(
        self,
        config: Mqtt,
        client_id: str,
        will: tuple[str, bytes],
        version: MQTTProtocolVersion,
        report: Callable[[Connection, Event], None],
    ) -> None:
        self._config = config
        self._version = version
        self._report = report
        self._aliases = 0
        self._aliased: str | None = None
        self._most_bytes: int | None = None
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=True if version == V311 else None,
            protocol=version,
            reconnect_on_failure=False,
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.will_set(will[0], will[1], qos=1, retain=True)
        if config.user:
            self._client.username_pw_set(config.user, config.secret())
        if config.tls:
            self._client.tls_set_context(config.tls.context())

    def open(self) -> None:
        """Connect; `Accepted` or `Closed` is reported later.

        Raises
        ------
        OSError
            The broker's machine cannot be reached.
        """
        # paho's first MQTT 5 connection is a clean start with session expiry 0.
        self._client.connect(self._config.host, self._config.port, self._config.keepalive_s)
        self._client.loop_start()

    def subscribe(self, *topics: str) -> None:
        """Subscribe with QoS 1."""
        self._client.subscribe([(topic, 1) for topic in topics])

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Publish a retained message."""
        self._client.publish(topic, payload, qos=qos, retain=True)

    def answer(self, topic: str, payload: bytes, correlation: bytes) -> None:
        """Publish a response with QoS 1, not retained."""
        properties = None
        if self._version == V5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = correlation
        self._client.publish(topic, payload, qos=1, properties=properties)

    def room_bytes(self, topic: str) -> int | None:
        """How large a payload the broker takes on a topic; None if it names no limit."""
        if self._most_bytes is None:
            return None
        return self._most_bytes - _PUBLISH_BYTES - len(topic.encode())

    def send(self, topic: str, payload: bytes, expires_s: int | None = None) -> None:
        """Publish with QoS 0.

        MQTT 5: the topic's name travels once where the broker allows an alias, and the broker
        forgets the message after ``expires_s``.
        """
        if self._version == V311:
            self._client.publish(topic, payload)
            return
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expires_s is not None:
            properties.MessageExpiryInterval = expires_s
        name = topic
        if self._aliases:
            properties.TopicAlias = _ALIAS
            name = "" if self._aliased == topic else topic
            self._aliased = topic
        self._client.publish(name, payload, properties=properties)

    def close(self, topic: str | None = None, payload: bytes = b"") -> None:
        """Say a last retained word, if given, and disconnect."""
        if topic and self._client.is_connected():
            last = self._client.publish(topic, payload, qos=1, retain=True)
            # If the connection ends meanwhile, the last will says the same.
            with suppress(RuntimeError, ValueError):
                last.wait_for_publish(_GOODBYE_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, _c: Client, _u: Any, _f: ConnectFlags, code: ReasonCode, given: Properties | None
    ) -> None:
        if code.is_failure:
            version = code.value == _UNSUPPORTED_VERSION
            self._report(self, Closed(str(code), answered=True, version=version))
            return
        if self._version == V5:
            self._aliases = getattr(given, "TopicAliasMaximum", 0)
            self._most_bytes = getattr(given, "MaximumPacketSize", None)
        self._report(self, Accepted())

    def _on_disconnect(
        self, _c: Client, _u: Any, _f: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        self._report(self, Closed(str(code)))

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # a broker that checks nothing
            return
        self._report(self, Arrived(topic, bytes(message.payload)))
