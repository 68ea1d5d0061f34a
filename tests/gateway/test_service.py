"""The whole gateway against a real broker."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tactic_codec.broker import Mqtt
from tactic_codec.bundle import Bundle
from tactic_delivery import ack
from tactic_gateway.config import Bundles, Gateway, GatewayConfig, StoreSection
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.mqtt import Broker
from tactic_gateway.reader import Message
from tactic_gateway.service import Service
from tactic_gateway.topics import Topics

MakePacket = Callable[..., bytes]
Configured = Callable[[int], GatewayConfig]
Events = Callable[[], list[dict[str, Any]]]
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WAIT_S = 20.0
PROGRAM = (
    "import sys; from pathlib import Path; from tactic_gateway.service import main;"
    " sys.exit(main(Path(sys.argv[1])))"
)

needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Mosquitto:
    def __init__(self, port: int) -> None:
        self.port = port
        assert MOSQUITTO is not None
        self.process = subprocess.Popen([MOSQUITTO, "-p", str(port)], stderr=subprocess.DEVNULL)
        wait_for(self.answers)

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    started = Mosquitto(free_port())
    yield started
    started.kill()


class Node:
    """A client that hears everything of its site."""

    def __init__(self, port: int) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.client = Client(
            CallbackAPIVersion.VERSION2, "node", protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.on_connect = lambda client, *_: client.subscribe("tactic/v1/lab/#", 1)
        self.client.on_message = lambda _c, _u, m: self.heard.put((m.topic, bytes(m.payload)))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def send(self, payload: bytes) -> None:
        self.client.publish("tactic/v1/lab/cam1/f", payload, 1)

    def hear(self, topic: str) -> bytes:
        """The next message of a topic; others are passed over."""
        deadline = time.monotonic() + WAIT_S
        while True:
            heard, payload = self.heard.get(timeout=max(0.0, deadline - time.monotonic()))
            if heard == f"tactic/v1/lab/{topic}":
                return payload

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def node_on(broker: Mosquitto) -> Iterator[Node]:
    node = Node(broker.port)
    yield node
    node.close()


@pytest.fixture
def configured(tmp_path: Path, bundle: Bundle) -> Configured:
    return lambda port: GatewayConfig(
        gateway=Gateway(site="lab"),
        bundles=Bundles(paths=(bundle.path,), unsigned=True),
        store=StoreSection(path=tmp_path / "gateway.db"),
        mqtt=Mqtt(host="127.0.0.1", port=port),
    )


@contextmanager
def running(config: GatewayConfig, log: Log) -> Iterator[None]:
    stop = threading.Event()
    codes: list[int] = []
    service = Service(config, log)
    thread = threading.Thread(target=lambda: codes.append(service.run(stop)))
    thread.start()
    yield
    stop.set()
    thread.join(WAIT_S)
    assert codes == [0]


@needs_broker
def test_frame_to_acknowledgement_and_result(
    configured: Configured, broker: Mosquitto, log: Log, make_frame: MakePacket
) -> None:
    with node_on(broker) as node:
        with running(configured(broker.port), log):
            assert json.loads(node.hear("_gateway/state")) == {"state": "online"}
            node.send(make_frame(0, value=20))
            assert ack.unpack(node.hear("cam1/ack")).cumulative == 1
            result = json.loads(node.hear("cam1/result/classification"))
            assert json.loads(node.hear("cam1/last/classification")) == result
            assert result["classes"][0]["label"] == "bright"
        assert json.loads(node.hear("_gateway/state")) == {"state": "offline"}


@needs_broker
def test_broker_goes_and_comes_back(
    configured: Configured,
    broker: Mosquitto,
    log: Log,
    events: Events,
    make_frame: MakePacket,
) -> None:
    def count(event: str) -> int:
        return sum(each["event"] == event for each in events())

    with running(configured(broker.port), log):
        with node_on(broker) as node:
            node.hear("_gateway/state")
            node.send(make_frame(0))
            node.hear("cam1/last/classification")
        broker.kill()
        wait_for(lambda: count("mqtt_down") == 1)
        again = Mosquitto(broker.port)
        wait_for(lambda: count("mqtt_connected") == 2)
        with node_on(again) as node:
            assert json.loads(node.hear("cam1/last/classification"))["seq"] == 0
            node.send(make_frame(1))
            assert ack.unpack(node.hear("cam1/ack")).cumulative == 2
    again.kill()
    assert count("mqtt_down") == 1


@needs_broker
def test_a_late_last_will_does_not_silence_the_nodes(
    configured: Configured, broker: Mosquitto, log: Log
) -> None:
    with running(configured(broker.port), log), node_on(broker) as node:
        node.hear("_gateway/state")
        node.client.publish("tactic/v1/lab/_gateway/state", b'{"state": "offline"}', 1, True)
        assert json.loads(node.hear("_gateway/state")) == {"state": "offline"}
        assert json.loads(node.hear("_gateway/state")) == {"state": "online"}


@needs_broker
def test_killed_after_the_acknowledgement_nothing_is_lost(
    tmp_path: Path, configured: Configured, broker: Mosquitto, make_frame: MakePacket
) -> None:
    path = written(tmp_path, configured(broker.port))
    command = [sys.executable, "-c", PROGRAM, str(path)]
    with node_on(broker) as node:
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while json.loads(node.hear("_gateway/state")) != {"state": "online"}:
            pass
        for pkt in range(50):
            node.send(make_frame(pkt))
        while ack.unpack(node.hear("cam1/ack")).cumulative < 50:
            pass
        first.kill()
        first.wait()
        second = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while json.loads(node.hear("_gateway/state")) != {"state": "online"}:
            pass
        node.send(make_frame(49))
        assert ack.unpack(node.hear("cam1/ack")).cumulative == 50
        wait_for(lambda: results_in(tmp_path / "gateway.db") == 50)
        second.send_signal(signal.SIGTERM)
        assert second.wait(WAIT_S) == 0


HOOK = """
import os, sys
def note(event, arguments):
    if event == "pickle.find_class":
        with open(os.environ["UNPICKLED"], "a") as file:
            file.write(f"{arguments}\\n")
    if event == "import" and arguments[0] == "tactic_gateway.pipeline":
        with open(os.environ["UNPICKLED"] + ".decoders", "a") as file:
            file.write("here\\n")
sys.addaudithook(note)
"""


@needs_broker
def test_nothing_is_unpickled(
    tmp_path: Path, configured: Configured, broker: Mosquitto, make_frame: MakePacket
) -> None:
    """Gateway and workers under an audit hook: a frame, a poisoned one, a birth, rubbish."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    path = written(tmp_path, configured(broker.port))
    seen = tmp_path / "unpickled"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")]),
        "UNPICKLED": str(seen),
    }
    with node_on(broker) as node:
        command = [sys.executable, "-c", PROGRAM, str(path)]
        gateway = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        while json.loads(node.hear("_gateway/state")) != {"state": "online"}:
            pass
        node.client.publish("tactic/v1/lab/cam1/birth", b'{"boot": 7}')
        node.send(b"\x80\x04cposix\nsystem\n")
        node.send(make_frame(0))
        node.send(make_frame(1, payload=b"\x80\x04cposix\nsystem\n"))
        node.hear("cam1/result/classification")
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(WAIT_S) == 0
    assert Path(f"{seen}.decoders").read_text() == "here\n", "the hook saw the worker"
    assert not seen.exists(), seen.read_text()


def written(folder: Path, config: GatewayConfig) -> Path:
    """The configuration as a file."""
    path = folder / "gateway.toml"
    path.write_text(
        f'[gateway]\nsite = "lab"\n[bundles]\npaths = ["{config.bundles.paths[0]}"]\n'
        "unsigned = true\n"
        f'[store]\npath = "gateway.db"\n[mqtt]\nhost = "127.0.0.1"\nport = {config.mqtt.port}\n'
    )
    return path


def results_in(path: Path) -> int:
    db = sqlite3.connect(path)
    (count,) = db.execute("SELECT count(*) FROM results").fetchone()
    db.close()
    return int(count)


def test_starts_without_a_broker(configured: Configured, log: Log, events: Events) -> None:
    with running(configured(free_port()), log):
        wait_for(lambda: any(event["event"] == "mqtt_down" for event in events()))
    downs = [event for event in events() if event["event"] == "mqtt_down"]
    assert len(downs) == 1
    assert "refused" in downs[0]["cause"].lower()
    assert events()[-1]["event"] == "gateway_stopped"


def test_falls_back_to_the_older_protocol(log: Log, events: Events) -> None:
    """A broker that knows only MQTT 3.1.1 answers a newer CONNECT with its own refusal."""
    listener = socket.create_server(("127.0.0.1", 0))
    levels: list[int] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                level = connection.recv(1024)[8]
                levels.append(level)
                connection.sendall(b"\x20\x02\x00" + (b"\x01" if level == 5 else b"\x00"))
                while level == 4 and connection.recv(1024):
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    heard: list[Message] = []
    greeted = threading.Event()
    broker = Broker(
        Mqtt(host="127.0.0.1", port=listener.getsockname()[1]),
        Topics("tactic/v1", "lab"),
        metrics=Metrics(),
        log=log,
        rng=Random(1),
    )
    broker.start(heard.append, greeted.set)
    for _ in range(1000):
        broker.tend()
        if greeted.wait(0.02):
            break
    assert set(levels[:-1]) == {5}
    assert levels[-1] == 4
    broker.stop(0.1)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    assert [e["version"] for e in events() if e["event"] == "mqtt_downgrade"] == ["3.1.1"]
