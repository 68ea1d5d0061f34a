"""One command to one node, from a process of its own: publish, wait for the response.

It takes the configuration of the gateway: broker, certificates and keys are the same.
"""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tactic_codec.errors import PacketError
from tactic_codec.node_key import Purpose
from tactic_delivery import command
from tactic_delivery.command import Command, Response
from tactic_delivery.errors import CommandError
from tactic_gateway.config import GatewayConfig
from tactic_gateway.errors import NodeError
from tactic_gateway.keys import Keys
from tactic_gateway.topics import Topics

CONNECT_S = 10.0
BIRTH_S = 5.0
REPEAT_S = 5.0
_S = 1_000_000_000


class Remote:
    """A connection for commands to one node; a context manager.

    Parameters
    ----------
    config : GatewayConfig
    node : str

    Raises
    ------
    ConfigError
        A password, certificate or key cannot be used.
    NodeError
        The broker cannot be reached.
    """

    def __init__(self, config: GatewayConfig, node: str) -> None:
        self._mqtt = config.mqtt
        self.node = node
        topics = Topics(config.mqtt.root, config.gateway.site)
        self._topic = {
            name: topics.of(node, name) for name in ("birth", "state", "cmd", "res", "blob")
        }
        self._keys = Keys.load(config.gateway.keys, config.gateway.site)
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._known: dict[str, Any] = {}
        self._changed = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if config.mqtt.user is not None:
            self._client.username_pw_set(config.mqtt.user, config.mqtt.secret())
        if config.mqtt.tls is not None:
            self._client.tls_set_context(config.mqtt.tls.context())
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        place = f"{self._mqtt.host}:{self._mqtt.port}"
        try:
            self._client.connect(self._mqtt.host, self._mqtt.port, self._mqtt.keepalive_s)
        except OSError as fault:
            raise NodeError(f"{place}: {fault}; check [mqtt] and the broker") from fault
        self._client.loop_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def call(self, kind: str, arguments: dict[str, Any], patience_s: float) -> Response:
        """Have a command carried out, once.

        Parameters
        ----------
        kind : str
        arguments : dict
        patience_s : float
            How long to wait for the response; the command expires then.

        Raises
        ------
        NodeError
            The node is not there, or does not answer in time.
        """
        boot = self._find_boot()
        now_ns = time.time_ns()
        expires_ns = now_ns + int(patience_s * _S)
        asked = Command(
            id=secrets.token_hex(16),
            boot=boot,
            issued_ns=now_ns,
            expires_ns=expires_ns,
            kind=kind,
            arguments=arguments,
        )
        while time.time_ns() < expires_ns:
            self._publish(asked)
            left_s = (expires_ns - time.time_ns()) / _S
            if response := self._wait_for(asked.id, min(REPEAT_S, left_s)):
                return response
        raise NodeError(
            f"{self.node} does not answer within {patience_s:g} s; is it capturing? see its log"
        )

    def send(self, piece: bytes) -> None:
        """Publish a piece of a bundle; wait until the broker has it, so that no queue grows."""
        body = self._keys.sign(self.node, Purpose.CHUNK, piece)
        sent = self._client.publish(self._topic["blob"], body, qos=1)
        try:
            sent.wait_for_publish(CONNECT_S)
        except (RuntimeError, ValueError) as fault:
            raise NodeError("connection to the broker lost; try again: it goes on there") from fault

    def _find_boot(self) -> int:
        """The run of the node, from what the broker retains; it has to be online."""
        deadline_s = time.monotonic() + CONNECT_S + BIRTH_S
        with self._changed:
            while not {"birth", "state"} <= set(self._known):
                if not self._changed.wait(max(0.0, deadline_s - time.monotonic())):
                    raise NodeError(
                        f"no node {self.node} has announced itself to the broker; check its name "
                        "and site"
                    )
            birth, state = self._known["birth"], self._known["state"]
        try:
            boot = int(birth["boot"])
            if state["state"] != "online" or state["boot"] != boot:
                raise NodeError(f"{self.node} is not online; a command would not reach it")
        except (KeyError, TypeError, ValueError) as fault:
            raise NodeError(f"{self.node}: its birth message is none; restart the node") from fault
        return boot

    def _publish(self, asked: Command) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = self._topic["res"]
        properties.CorrelationData = bytes.fromhex(asked.id)
        body = self._keys.sign(self.node, Purpose.COMMAND, command.pack(asked))
        self._client.publish(self._topic["cmd"], body, qos=1, properties=properties)

    def _wait_for(self, ident: str, seconds: float) -> Response | None:
        deadline_s = time.monotonic() + seconds
        key = self._keys.of(self.node)
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                payload = self._heard.get(timeout=left_s)
                body = key.open(Purpose.RESPONSE, payload) if key else payload
                response = command.unpack_response(body)
                if response.id == ident:
                    return response
            except queue.Empty:
                return None
            except (PacketError, CommandError):
                continue  # not the node's: somebody else's words change nothing
        return None

    def _on_connect(self, client: Client, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        if not code.is_failure:
            wanted = ("birth", "state", "res")
            client.subscribe([(self._topic[name], 1) for name in wanted])

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            name = message.topic.rpartition("/")[2]
        except UnicodeDecodeError:  # a broker that checks nothing
            return
        if name == "res":
            self._heard.put(bytes(message.payload))
            return
        try:
            body = json.loads(message.payload)
        except (ValueError, RecursionError):
            return
        with self._changed:
            self._known[name] = body
            self._changed.notify()
