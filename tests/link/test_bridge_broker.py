"""The bridge's connection: a broker that goes, one with certificates, a small one, an old one."""

from __future__ import annotations

import io
import json
import os
import random
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from tactic.broker import setup
from tactic.demo.broker import free_port, mosquitto
from tactic_codec.broker import Mqtt, Tls
from tactic_link.bridge_broker import MOST_UNSENT, Broker
from tactic_link.log import Log

PAGE = Path(__file__).parents[2] / "docs/datagrams.md"
NODE = "tactic/v1/lab/cam1"
GATEWAY = "tactic/v1/lab/_gateway/state"
Lines = io.StringIO


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


@contextmanager
def running(config: Path, port: int) -> Iterator[None]:
    program = mosquitto()
    if program is None:
        pytest.skip("mosquitto is not installed")
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(port))
        yield
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def plain(folder: Path, port: int, *settings: str) -> Path:
    path = folder / "mosquitto.conf"
    path.write_text("\n".join((f"listener {port} 127.0.0.1", "allow_anonymous true", *settings)))
    return path


def events(lines: Lines) -> list[str]:
    return [json.loads(line)["event"] for line in lines.getvalue().splitlines()]


@contextmanager
def connection(
    config: Mqtt, *topics: str
) -> Iterator[tuple[Broker, list[tuple[str, bytes]], Lines]]:
    lines, heard = io.StringIO(), list[tuple[str, bytes]]()
    ours = topics or (f"{NODE}/ack",)
    made = Broker(config, "bridge", ours, lambda t, p: heard.append((t, p)), Log(lines))
    made.start()
    try:
        yield made, heard, lines
    finally:
        made.stop(2.0)


def client(port: int, folder: Path | None = None) -> Client:
    made = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    if folder:
        key = next(folder.glob("*.key"))
        made.tls_set_context(
            Tls(
                ca_file=folder / "ca.pem", cert_file=key.with_suffix(".pem"), key_file=key
            ).context()
        )
    made.connect("127.0.0.1", port)
    made.loop_start()
    return made


def test_a_broker_that_is_away_takes_nothing_and_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "randint", lambda _first, _last: 1)
    port = free_port()
    config = plain(tmp_path, port)
    with connection(Mqtt(host="127.0.0.1", port=port)) as (broker, heard, lines):

        def heard_again(other: Client) -> bool:
            other.publish(f"{NODE}/ack", b"y", 1)
            return bool(heard)

        until(lambda: events(lines) == ["mqtt_down"])
        for _ in range(2):
            assert broker.publish(f"{NODE}/f", b"x") == "unsent"
            heard.clear()
            with running(config, port):
                until(lambda: broker.connected)
                other = client(port)
                until(partial(heard_again, other))
                other.disconnect()
                other.loop_stop()
            until(lambda: not broker.connected)
        until(lambda: events(lines) == ["mqtt_down"] + 2 * ["mqtt_connected", "mqtt_down"])


def test_what_the_network_does_not_take_is_bounded(tmp_path: Path) -> None:
    class Stuck:
        rc = 0

        def is_published(self) -> bool:
            return False

    port = free_port()
    with (
        running(plain(tmp_path, port), port),
        connection(Mqtt(host="127.0.0.1", port=port)) as (broker, _, _),
    ):
        until(lambda: broker.connected)
        stuck: Any = Stuck()
        broker._unsent.extend([stuck] * MOST_UNSENT)
        assert broker.publish(f"{NODE}/f", b"x") == "unsent"
        broker._unsent.clear()


def test_a_packet_larger_than_the_broker_takes_is_kept_back(tmp_path: Path) -> None:
    port = free_port()
    with (
        running(plain(tmp_path, port, "max_packet_size 2000"), port),
        connection(Mqtt(host="127.0.0.1", port=port)) as (broker, _, lines),
    ):
        until(lambda: broker.connected)
        assert broker.publish(f"{NODE}/f", bytes(2000)) == "oversized"
        assert broker.publish(f"{NODE}/f", bytes(1900)) is None
        time.sleep(0.3)
        assert events(lines) == ["mqtt_connected"], "nobody was thrown out"


def test_with_certificates_and_the_rights_that_the_page_names(tmp_path: Path) -> None:
    port = free_port()
    setup.init(tmp_path, "lab", ["127.0.0.1"], port, "tactic/v1", None)
    setup.add_node(tmp_path, "bridge")
    rights = re.findall(r"^```\n(user bridge\n.*?)^```", PAGE.read_text(), re.M | re.S)
    with (tmp_path / "broker/acl").open("a") as file:
        file.write(rights[0].replace("/yard/", "/lab/"))
    config = tmp_path / "broker/mosquitto.conf"
    if os.getuid() == 0:
        with config.open("a") as file:
            file.write("user root\n")
    folder = tmp_path / "nodes/bridge"
    tls = Tls(
        ca_file=folder / "ca.pem",
        cert_file=folder / "bridge.pem",
        key_file=folder / "bridge.key",
    )
    ours = Mqtt(host="127.0.0.1", port=port, tls=tls)
    with running(config, port):
        gateway = client(port, tmp_path / "gateway")
        said: list[tuple[str, bytes]] = []
        gateway.on_message = lambda _c, _u, m: said.append((m.topic, bytes(m.payload)))
        gateway.subscribe([("tactic/v1/lab/+/f", 1), ("tactic/v1/lab/+/birth", 1)])
        gateway.publish(GATEWAY, b'{"state": "online"}', 1, True)
        topics = (f"{NODE}/ack", f"{NODE}/birth", GATEWAY)
        with connection(ours, *topics) as (broker, heard, _):
            until(lambda: broker.connected)
            until(lambda: (GATEWAY, b'{"state": "online"}') in heard)
            assert broker.publish(f"{NODE}/birth", b"{}", retain=True) is None
            assert broker.publish(f"{NODE}/f", b"packet") is None
            until(lambda: said == [(f"{NODE}/birth", b"{}"), (f"{NODE}/f", b"packet")])
            gateway.publish(f"{NODE}/ack", b"ack", 1)
            until(lambda: (f"{NODE}/ack", b"ack") in heard)
        gateway.disconnect()
        gateway.loop_stop()


def test_an_old_broker_gets_mqtt_3() -> None:
    versions: list[int] = []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while 4 not in versions:
                connected, _ = server.accept()
                with connected:
                    # fixed header (2), "MQTT" with its length (6), then the protocol level
                    versions.append(connected.recv(1024)[8])
                    connected.sendall(
                        b"\x20\x02\x00\x01" if versions[-1] == 5 else b"\x20\x02\x00\x00"
                    )
                    if versions[-1] == 4:
                        done.wait(10.0)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        with connection(Mqtt(host="127.0.0.1", port=port)) as (broker, _, lines):

            def tended() -> bool:
                broker.tend()
                return broker.connected

            until(tended)
            assert "mqtt_downgrade" in events(lines)
            done.set()
        thread.join()


def test_a_topic_that_is_no_text_is_let_go() -> None:
    heard: list[tuple[str, bytes]] = []
    made = Broker(Mqtt(), "bridge", (), lambda t, p: heard.append((t, p)), Log(io.StringIO()))
    for topic in (b"\xff", b"fine"):
        made._on_message(made._client, None, MQTTMessage(topic=topic))
    assert heard == [("fine", b"")]


def test_what_a_connection_took_with_it_does_not_stop_the_next_messages() -> None:
    made = Broker(Mqtt(), "bridge", (), lambda t, p: None, Log(io.StringIO()))
    lost = MQTTMessageInfo(1)
    lost.rc = MQTTErrorCode.MQTT_ERR_CONN_LOST
    made._unsent.append(lost)
    assert made.publish("topic", b"") == "unsent"  # there is no connection
    assert not made._unsent
    made._unsent.append(lost)
    made.stop(0.1)
