"""An application on the gateway's LAN side: it subscribes to results as any other would."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

_TOPIC = "tactic/v1/{site}/+/result/+"

Result = dict[str, Any]


class Listener:
    """Collects every result that is published; a context manager.

    Attributes
    ----------
    messages : int
        Results received, repeated ones counted each time.
    """

    def __init__(self, site: str, port: int) -> None:
        self.messages = 0
        self._found: dict[tuple[int, int, str], Result] = {}
        self._lock = threading.Lock()
        self._topic = _TOPIC.format(site=site)
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self._subscribed.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        result: Result = json.loads(message.payload)
        with self._lock:
            self.messages += 1
            self._found[result["boot"], result["seq"], result["head"]] = result

    def results(self) -> list[Result]:
        """The distinct results so far, in the order in which their frames were captured."""
        with self._lock:
            return [self._found[key] for key in sorted(self._found)]
