"""One visit to the broker: how far it got, and what it heard."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tactic_codec.errors import ConfigError
from tactic_device.config import DeviceConfig
from tactic_device.connection import V5, V311
from tactic_device.doctor.base import Case
from tactic_device.link_config import Mqtt
from tactic_device.topics import Topics

CONNECT_S = 5.0
LISTEN_S = 1.5


@dataclass
class Visit:
    """What came of it.

    Attributes
    ----------
    unreached, unencrypted, refused : str or None
        Why it ended there.
    heard : dict
        Retained messages by topic: presence and health of gateways, state of this node.
    """

    unreached: str | None = None
    unencrypted: str | None = None
    refused: str | None = None
    heard: dict[str, bytes] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing was heard because it did not get so far."""
        return bool(self.unreached or self.unencrypted or self.refused)


def visit(case: Case, config: DeviceConfig) -> Visit:
    """Visit the broker once; later calls give the same."""
    made = case.visits.get("broker")
    if not isinstance(made, Visit):
        made = case.visits["broker"] = _visit(config)
    return made


def reaches(host: str, port: int) -> str | None:
    """Why nothing answers there, or None."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as fault:
        return fault.strerror or str(fault)
    return None


def _visit(config: DeviceConfig) -> Visit:
    mqtt = config.mqtt
    if why := reaches(mqtt.host, mqtt.port):
        return Visit(unreached=why)
    try:
        context = mqtt.tls.context() if mqtt.tls else None
        if context:
            _shake_hands(mqtt, context)
        secret = mqtt.secret()
    except ssl.SSLCertVerificationError as fault:
        return Visit(unencrypted=fault.verify_message)
    except (OSError, ConfigError) as fault:
        return Visit(unencrypted=getattr(fault, "reason", None) or str(fault))
    found = Visit()
    for version in (V5, V311):
        found = _listen(config, version, context, secret)
        if not found.refused:
            return found
    return found


def _shake_hands(mqtt: Mqtt, context: ssl.SSLContext) -> None:
    with (
        socket.create_connection((mqtt.host, mqtt.port), CONNECT_S) as plain,
        context.wrap_socket(plain, server_hostname=mqtt.host) as secured,
    ):
        # With TLS 1.3 a broker refuses a certificate only after the handshake.
        secured.settimeout(0.5)
        try:
            if secured.recv(1) == b"":
                raise OSError("the broker ended the connection")
        except TimeoutError:
            return


def _listen(
    config: DeviceConfig, version: Any, context: ssl.SSLContext | None, secret: str | None
) -> Visit:
    mqtt = config.mqtt
    found = Visit(refused="the broker does not answer in MQTT")
    answered = threading.Event()

    def on_connect(_c: Client, _u: Any, _f: Any, code: Any, _p: Any) -> None:
        found.refused = str(code) if code.is_failure else None
        answered.set()

    def on_message(_c: Client, _u: Any, message: Any) -> None:
        found.heard[message.topic] = bytes(message.payload)

    client = Client(
        CallbackAPIVersion.VERSION2, f"tactic-doctor-{os.getpid()}", protocol=version,
        reconnect_on_failure=False,
    )  # fmt: skip
    client.on_connect, client.on_message = on_connect, on_message
    if mqtt.user:
        client.username_pw_set(mqtt.user, secret)
    if context:
        client.tls_set_context(context)
    try:
        client.connect(mqtt.host, mqtt.port, 30)
        client.loop_start()
        if answered.wait(CONNECT_S) and not found.refused:
            client.subscribe([(topic, 1) for topic in _topics(config)])
            threading.Event().wait(LISTEN_S)
        client.disconnect()
        client.loop_stop()
    except OSError as fault:
        found.refused = fault.strerror or str(fault)
    return found


def _topics(config: DeviceConfig) -> tuple[str, ...]:
    root = config.mqtt.root
    own = Topics(root, config.node.site, config.node.node)
    return f"{root}/+/_gateway/state", f"{root}/+/_gateway/health", own.of("state")
