"""The uplink against a real broker on the loopback interface, and against a very old one."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from rig.proxy import Counter, Proxy
from tactic_codec.drop import Reason
from tactic_codec.packet import Kind, Packet, unpack
from tactic_delivery import ack
from tactic_delivery.receiver import Receiver
from tactic_device import uplink as module
from tactic_device.connection import V5, Arrived, Connection, Event
from tactic_device.dispatch import Dispatch
from tactic_device.health import boot_clock_ns
from tactic_device.link_config import Mqtt
from tactic_device.log import Log
from tactic_device.outbox import Outbox
from tactic_device.topics import Topics
from tactic_device.uplink import Uplink

Events = Callable[[], list[dict[str, Any]]]
TOPICS = Topics("tactic/v1", "yard", "cam1")
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Broker:
    """A mosquitto that can be stopped and started on one port."""

    def __init__(self, folder: Path, *settings: str) -> None:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        lines = (f"listener {self.port} 127.0.0.1", "allow_anonymous true", *settings)
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(MOSQUITTO), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(self._answers)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Gateway:
    """Stores, acknowledges and listens to everything."""

    def __init__(self, port: int, window: int = 16, deaf_to: int = 0) -> None:
        self.frames: list[Packet] = []
        self.expiries: list[int | None] = []
        self.retained: dict[str, dict[str, Any]] = {}
        self._deaf_to = deaf_to
        self._window = window
        self._receivers: dict[int, Receiver] = {}
        self._client = Client(
            CallbackAPIVersion.VERSION2, "gateway", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.will_set(TOPICS.gateway, b'{"state": "offline"}', 1, True)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#", 1)
        self._client.loop_start()

    def presence(self, state: str) -> None:
        self._client.publish(TOPICS.gateway, json.dumps({"state": state}), 1, True)

    def say(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1).wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: Client, _: Any, message: Any) -> None:
        name = message.topic.rsplit("/", 1)[1]
        if name in ("state", "birth", "health") and "_gateway" not in message.topic:
            self.retained[name] = json.loads(message.payload)
        if name != "f":
            return
        if self._deaf_to > 0:
            self._deaf_to -= 1
            return
        packet = unpack(message.payload)
        self.expiries.append(getattr(message.properties, "MessageExpiryInterval", None))
        receiver = self._receivers.setdefault(packet.boot, Receiver(packet.boot))
        if receiver.record(packet).new:
            self.frames.append(packet)
        client.publish(TOPICS.of("ack"), ack.pack(receiver.ack(self._window)))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox", Random(1), 4 << 20)
    yield outbox
    outbox.close()


@pytest.fixture
def dispatch(outbox: Outbox) -> Dispatch:
    return Dispatch(outbox, Random(1))


@pytest.fixture
def start(
    dispatch: Dispatch, log: Log, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Uplink]]:
    monkeypatch.setattr(module, "FIRST_RETRY_S", 0.1)
    started: list[Uplink] = []

    def start(port: int) -> Uplink:
        uplink = Uplink(
            Mqtt(port=port, health_s=0.2),
            TOPICS,
            dispatch,
            birth=lambda: {"boot": dispatch.boot, "bundle": "x"},
            health=lambda: {"fps": 1.0},
            log=log,
            clock_ns=boot_clock_ns,
            rng=Random(1),
        )
        uplink.start()
        started.append(uplink)
        return uplink

    yield start
    for uplink in started:
        uplink.stop()
        uplink.check()


def put(dispatch: Dispatch, count: int) -> None:
    for n in range(count):
        dispatch.put(Packet(Kind.FRAME, 0, 0, bytes([n % 256]) * 50), boot_clock_ns())


def names(events: Events) -> list[str]:
    return [event["event"] for event in events()]


def test_frames_reach_the_gateway_and_are_forgotten(
    broker: Broker, dispatch: Dispatch, start: Callable[[int], Uplink], events: Events
) -> None:
    broker.start()
    gateway = Gateway(broker.port)
    uplink = start(broker.port)
    put(dispatch, 20)
    until(lambda: "mqtt_up" in names(events))
    time.sleep(0.2)
    assert gateway.frames == []
    gateway.presence("online")
    until(lambda: dispatch.waiting == 0)
    assert sorted(p.pkt for p in gateway.frames) == list(range(20))
    assert gateway.retained["state"] == {"state": "online", "boot": dispatch.boot}
    assert gateway.retained["birth"]["bundle"] == "x"
    until(lambda: gateway.retained.get("health") == {"fps": 1.0})
    uplink.stop()
    until(lambda: gateway.retained["state"]["state"] == "offline")
    assert gateway.retained["state"]["boot"] == dispatch.boot
    gateway.close()


def test_a_broker_that_is_away_is_one_warning_and_nothing_is_lost(
    broker: Broker, dispatch: Dispatch, start: Callable[[int], Uplink], events: Events
) -> None:
    start(broker.port)
    put(dispatch, 5)
    time.sleep(0.6)
    assert names(events) == ["mqtt_down"]
    assert events()[0]["level"] == "warning"
    broker.start()
    gateway = Gateway(broker.port)
    gateway.presence("online")
    until(lambda: dispatch.waiting == 0)
    broker.stop()
    gateway.close()
    put(dispatch, 5)
    until(lambda: names(events).count("mqtt_down") == 2)
    broker.start()
    again = Gateway(broker.port)
    again.presence("online")
    until(lambda: dispatch.waiting == 0)
    assert [p.pkt for p in again.frames] == [5, 6, 7, 8, 9]
    assert names(events).count("mqtt_up") == 2
    again.close()


def test_what_a_gateway_does_not_acknowledge_is_sent_again(
    broker: Broker, dispatch: Dispatch, start: Callable[[int], Uplink]
) -> None:
    broker.start()
    gateway = Gateway(broker.port, deaf_to=3)
    gateway.presence("online")
    start(broker.port)
    put(dispatch, 6)
    until(lambda: dispatch.waiting == 0)
    assert sorted(p.pkt for p in gateway.frames) == list(range(6))
    figures = dispatch.figures()
    assert isinstance(figures["sent_again"], int)
    assert figures["sent_again"] >= 3
    gateway.close()


def test_nonsense_from_the_network_changes_nothing(
    broker: Broker, dispatch: Dispatch, start: Callable[[int], Uplink], events: Events
) -> None:
    broker.start()
    gateway = Gateway(broker.port)
    uplink = start(broker.port)
    put(dispatch, 3)
    until(lambda: "mqtt_up" in names(events))
    for payload in (b"", b"\xff\xfe", b"[" * 5000, b"3", b'{"state": 1}'):
        gateway.say(TOPICS.gateway, payload)
        gateway.say(TOPICS.of("ack"), payload)
    future = ack.pack(ack.Ack(dispatch.boot, 0xFFFF_FFFF, 5))
    gateway.say(TOPICS.of("ack"), future)
    until(lambda: uplink.counts["acks_rejected"] == 6)
    uplink.check()
    assert dispatch.waiting == 3
    assert names(events).count("ack_rejected") == 1
    gateway.presence("online")
    until(lambda: dispatch.waiting == 0)
    gateway.close()


def test_the_last_will_carries_the_boot(
    broker: Broker, dispatch: Dispatch, start: Callable[[int], Uplink]
) -> None:
    broker.start()
    gateway = Gateway(broker.port)
    uplink = start(broker.port)
    until(lambda: gateway.retained.get("state", {}).get("state") == "online")
    assert uplink._connection is not None
    sock: Any = uplink._connection._client.socket()
    sock.shutdown(socket.SHUT_RDWR)
    until(lambda: gateway.retained["state"] == {"state": "offline", "boot": dispatch.boot})
    until(lambda: gateway.retained["state"]["state"] == "online")
    gateway.close()


class Tap(Counter):
    """Keeps what a client sends."""

    heard = bytearray()

    def feed(self, data: bytes) -> None:
        self.heard += data
        super().feed(data)


def test_the_name_of_the_topic_travels_once(
    broker: Broker,
    dispatch: Dispatch,
    start: Callable[[int], Uplink],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rig.proxy.Counter", Tap)
    broker.start()
    gateway = Gateway(broker.port)
    gateway.presence("online")
    with Proxy(broker.port, Random(1)) as path:
        start(path.port)
        put(dispatch, 20)
        until(lambda: dispatch.waiting == 0)
        assert path.published >= 20
    assert sorted(p.pkt for p in gateway.frames) == list(range(20))
    assert Tap.heard.count(TOPICS.of("f").encode()) == 1
    gateway.close()


def test_a_frame_expires_at_its_deadline_at_the_node_and_at_the_broker(
    broker: Broker, start: Callable[[int], Uplink], dispatch: Dispatch
) -> None:
    dispatch._outbox._deadline_ns = 2 * module.S
    broker.start()
    put(dispatch, 3)
    uplink = start(broker.port)
    until(lambda: dispatch.dropped() == {Reason.EXPIRED: 3})
    gateway = Gateway(broker.port)
    gateway.presence("online")
    until(lambda: dispatch.waiting == 0)
    dispatch._outbox._deadline_ns = 60 * module.S
    put(dispatch, 2)
    uplink.wake()
    until(lambda: dispatch.waiting == 0)
    frames = [p for p in gateway.frames if p.kind is Kind.FRAME]
    assert [p.pkt for p in frames] == [4, 5]
    # The report of what expired never expires.
    assert gateway.expiries[0] is None
    assert all(within is not None and 50 <= within <= 60 for within in gateway.expiries[-2:])
    gateway.close()


def test_a_frame_that_the_broker_would_not_take_is_given_up(
    tmp_path: Path, dispatch: Dispatch, start: Callable[[int], Uplink], events: Events
) -> None:
    broker = Broker(tmp_path, "max_packet_size 2000")
    broker.start()
    try:
        gateway = Gateway(broker.port)
        gateway.presence("online")
        put(dispatch, 1)
        dispatch.put(Packet(Kind.FRAME, 0, 0, bytes(3000)), boot_clock_ns())
        put(dispatch, 1)
        start(broker.port)
        until(lambda: dispatch.waiting == 0)
        assert dispatch.dropped() == {Reason.OVERSIZED: 1}
        (told,) = [event for event in events() if event["event"] == "dropped"]
        assert "lower encoder.budget_bytes, or raise the broker's limit" in told["remedy"]
        gateway.close()
    finally:
        broker.stop()


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b""], ids=["refuses", "hangs up"])
def test_an_old_broker_gets_mqtt_3(
    dispatch: Dispatch, start: Callable[[int], Uplink], events: Events, answer: bytes
) -> None:
    versions: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while 4 not in versions:
                client, _ = server.accept()
                with client:
                    # fixed header (2), "MQTT" with its length (6), then the protocol level
                    versions.append(client.recv(1024)[8])
                    client.sendall(answer if versions[-1] == 5 else b"\x20\x02\x00\x00")
                    if versions[-1] == 4:
                        until(lambda: "mqtt_up" in names(events))

        thread = threading.Thread(target=serve)
        thread.start()
        uplink = start(server.getsockname()[1])
        until(lambda: "mqtt_up" in names(events))
        thread.join()
        uplink.stop()
    (up,) = [event for event in events() if event["event"] == "mqtt_up"]
    assert up["version"] == "MQTTv311"
    assert versions == ([5, 4] if answer else [5, 5, 4])


def test_a_topic_that_is_no_text_is_let_go() -> None:
    heard: list[Event] = []
    will = (TOPICS.of("state"), b"")
    made = Connection(Mqtt(), "cam1", will, V5, lambda _connection, event: heard.append(event))
    for topic in (b"\xff", b"fine"):
        made._on_message(made._client, None, MQTTMessage(topic=topic))
    assert heard == [Arrived("fine", b"")]
