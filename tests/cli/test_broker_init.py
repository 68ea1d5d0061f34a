"""``tactic broker init`` against a real mosquitto: everybody says and hears what is theirs."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tactic.broker import setup
from tactic_codec.errors import ConfigError

if TYPE_CHECKING:
    from conftest import Site

ROOT = "tactic/v1/lab"
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
FORMAT = Path(__file__).parents[2] / "docs/wire-format.md"
FROM_NODE = ("state", "birth", "f", "health", "res")
TO_NODE = ("ack", "cmd", "blob")
RESULTS = ("result/classification", "last/classification")
NOT_AUTHORISED = 0x87
WAIT_S = 10.0
PAUSE_S = 0.4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Folders for a site with the nodes a and b, and the port of its broker."""
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    setup.init(folder, "lab", ["127.0.0.1"], port, "tactic/v1", None)
    for node in ("a", "b", "cam1", "stolen"):
        setup.add_node(folder, node)
    with (folder / "broker/acl").open("a") as file:
        file.write("user stolen\ntopic deny #\n")
    return folder, port


@pytest.fixture(scope="module")
def broker(made: tuple[Path, int]) -> Iterator[tuple[Path, int]]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    folder, port = made
    config = folder / "broker/mosquitto.conf"
    if os.getuid() == 0:
        # It would become a user who may not read pytest's folders.
        with config.open("a") as file:
            file.write("user root\n")
    with (folder / "broker.log").open("wb") as log:
        process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=log, stderr=log)
    deadline_s = time.monotonic() + WAIT_S
    while not answers(port) and time.monotonic() < deadline_s:
        assert process.poll() is None, (folder / "broker.log").read_text()
        time.sleep(0.05)
    yield folder, port
    process.terminate()
    process.wait(WAIT_S)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def context(folder: Path, name: str, ca: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca)
    if name:
        made.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return made


class Person:
    """A client with a certificate: what it hears, and whether it may say something."""

    def __init__(self, folder: Path, name: str, port: int, ca: Path | None = None) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.fault: str | None = None
        self._there = threading.Event()
        self._answers: dict[int, int] = {}
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.tls_set_context(context(folder, name, ca or folder / "ca.pem"))
        self._client.on_connect = self._on_connect
        self._client.on_publish = lambda _c, _u, mid, code, _p: self._answers.update(
            {mid: code.value}
        )
        self._client.on_message = lambda _c, _u, m: self.heard.append((m.topic, bytes(m.payload)))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not self._there.wait(WAIT_S):
            self.fault = "no connection"

    def _on_connect(self, _c: Client, _u: Any, _f: Any, code: Any, _p: Any) -> None:
        self.fault = str(code) if code.is_failure else None
        self._there.set()

    def may_say(self, topic: str, payload: bytes = b"x", retain: bool = False) -> bool:
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        info.wait_for_publish(WAIT_S)
        deadline_s = time.monotonic() + WAIT_S
        while info.mid not in self._answers and time.monotonic() < deadline_s:
            time.sleep(0.005)
        return self._answers[info.mid] != NOT_AUTHORISED

    def listen(self, *topics: str) -> None:
        self._client.subscribe([(topic, 1) for topic in topics])
        time.sleep(PAUSE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def people(broker: tuple[Path, int]) -> Iterator[dict[str, Person]]:
    folder, port = broker
    found = {node: Person(folder / "nodes" / node, node, port) for node in ("a", "b")}
    found["gateway"] = Person(folder / "gateway", "gateway", port)
    found["app"] = Person(folder / "applications", "app", port)
    assert [person.fault for person in found.values()] == [None] * 4
    yield found
    for person in found.values():
        person.close()


def all_topics() -> set[str]:
    """Last parts of every topic of the format's table."""
    table = FORMAT.read_text().partition("\n## Topics")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `{root}")]
    found = {name for row in rows for name in re.findall(r"`[^`]*?/([a-z]+(?:/\{task\})?)`", row)}
    return {name.replace("{task}", "classification") for name in found}


def test_the_rules_know_every_topic_of_the_format() -> None:
    assert all_topics() == {*FROM_NODE, *TO_NODE, *RESULTS}


@pytest.mark.parametrize("verb", ["publish", "retained"])
def test_a_node_says_only_what_is_its_own(people: dict[str, Person], verb: str) -> None:
    retain = verb == "retained"
    allowed = {
        name for name in all_topics() if people["a"].may_say(f"{ROOT}/a/{name}", b"", retain)
    }
    assert allowed == set(FROM_NODE)
    for other in ("b", "_gateway", "c", "_app"):
        for name in (*all_topics(), "x"):
            assert not people["a"].may_say(f"{ROOT}/{other}/{name}", b"", retain), (other, name)
    for topic in ("tactic/v1/yard/a/f", "tactic/v1/lab/a", "tactic/v2/lab/a/f", "x", "$SYS/x"):
        assert not people["a"].may_say(topic, b"", retain), topic


def test_a_node_hears_only_what_is_its_own(people: dict[str, Person]) -> None:
    own = [f"{ROOT}/a/{name}" for name in sorted(all_topics())]
    people["a"].listen("#", "+/+/+/+/+", *own, *(t.replace("/a/", "/b/") for t in own), "$SYS/#")
    for sayer in ("gateway", "a", "b"):
        for node in ("a", "b"):
            for name in all_topics():
                people[sayer].may_say(f"{ROOT}/{node}/{name}", f"{node} {name}".encode())
    people["gateway"].may_say(f"{ROOT}/_gateway/state", b"presence")
    people["gateway"].may_say(f"{ROOT}/_gateway/health", b"health")
    time.sleep(PAUSE_S)
    assert {topic for topic, _ in people["a"].heard} == {
        *(f"{ROOT}/a/{name}" for name in TO_NODE),
        f"{ROOT}/_gateway/state",
    }


def test_an_application_reads_and_says_nothing(people: dict[str, Person]) -> None:
    people["app"].listen("#")
    for node in ("a", "_gateway", "_app"):
        for name in all_topics():
            assert not people["app"].may_say(f"{ROOT}/{node}/{name}"), (node, name)
    for name in FROM_NODE:
        people["a"].may_say(f"{ROOT}/a/{name}")
    for name in (*TO_NODE, *RESULTS):
        assert people["gateway"].may_say(f"{ROOT}/a/{name}")
    time.sleep(PAUSE_S)
    readable = ("state", "birth", "health", *RESULTS)
    assert {topic for topic, _ in people["app"].heard} == {f"{ROOT}/a/{name}" for name in readable}


def test_a_stolen_certificate_is_worth_nothing_once_the_rules_name_it(
    people: dict[str, Person], broker: tuple[Path, int]
) -> None:
    thief = Person(broker[0] / "nodes/stolen", "stolen", broker[1])
    thief.listen("#", f"{ROOT}/stolen/#")
    assert not any(thief.may_say(f"{ROOT}/stolen/{name}") for name in all_topics())
    people["gateway"].may_say(f"{ROOT}/stolen/cmd")
    people["gateway"].may_say(f"{ROOT}/_gateway/state")
    time.sleep(PAUSE_S)
    assert thief.heard == []
    thief.close()


def test_the_gateway_does_not_speak_as_a_node(people: dict[str, Person]) -> None:
    people["gateway"].listen("#")
    for name in FROM_NODE:
        assert not people["gateway"].may_say(f"{ROOT}/a/{name}"), name
        people["a"].may_say(f"{ROOT}/a/{name}")
    time.sleep(PAUSE_S)
    assert {topic for topic, _ in people["gateway"].heard} == {
        f"{ROOT}/a/{name}" for name in FROM_NODE
    }


#: CONNECT of MQTT 3.1.1 with the client id x
CONNECT = bytes.fromhex("100d00044d5154540402003c000178")
CONNACK = b"\x20\x02\x00\x00"


def greeted(port: int, with_what: ssl.SSLContext | None) -> bool:
    """Whether the broker takes a connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as raw:
        if with_what is None:
            raw.sendall(CONNECT)
            return raw.recv(4) == CONNACK
        with with_what.wrap_socket(raw, server_hostname="127.0.0.1") as secured:
            secured.sendall(CONNECT)
            return secured.recv(4) == CONNACK


def test_who_has_no_certificate_of_ours_is_refused(
    broker: tuple[Path, int], tmp_path: Path
) -> None:
    folder, port = broker
    ours = folder / "gateway/ca.pem"
    assert greeted(port, context(folder / "nodes/a", "a", ours))
    setup.init(tmp_path / "foreign", "lab", ["127.0.0.1"], port, "tactic/v1", None)
    setup.add_node(tmp_path / "foreign", "a")
    foreign = tmp_path / "foreign/nodes/a"
    for refused in (context(foreign, "", ours), context(foreign, "a", ours), None):
        try:
            assert not greeted(port, refused)
        except OSError:
            continue  # the broker says so in the handshake or hangs up, as TLS 1.2 or 1.3 has it
    # Neither does a node talk to a broker of another authority.
    with pytest.raises(ssl.SSLCertVerificationError):
        greeted(port, context(folder / "nodes/a", "a", foreign / "ca.pem"))


def test_device_and_gateway_work_over_it(site: Site, broker: tuple[Path, int]) -> None:
    folder, port = broker
    tls = {
        "ca_file": str(folder / "nodes/cam1/ca.pem"),
        "cert_file": str(folder / "nodes/cam1/cam1.pem"),
        "key_file": str(folder / "nodes/cam1/cam1.key"),
    }
    site.configure(port)
    lines = {"device": tls}
    own = {"cert_file": "gateway.pem", "key_file": "gateway.key", "ca_file": "ca.pem"}
    lines["gateway"] = {key: str(folder / "gateway" / name) for key, name in own.items()}
    for room, values in lines.items():
        with (site.folder / f"{room}.toml").open("a") as file:
            file.write("[mqtt.tls]\n" + "".join(f'{k} = "{v}"\n' for k, v in values.items()))
    gateway, device = site.start("gateway"), site.start("device")
    assert device.wait(60) == 0
    (stopped,) = site.events("device", "stopped")
    assert stopped["ledger"]["stored"] == stopped["ledger"]["captured"] == 12
    assert site.stop(gateway) == 0


def test_private_keys_are_the_owners_alone(made: tuple[Path, int]) -> None:
    keys = sorted(made[0].rglob("*.key"))
    assert len(keys) == 8
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert len({key.read_bytes() for key in keys}) == 8


def test_mistakes(made: tuple[Path, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose another place or name"):
        setup.add_node(made[0], "a")
    with pytest.raises(ConfigError, match="no authority; tactic broker init"):
        setup.add_node(tmp_path, "a")
    for name in ("_gateway", "A", "a/b", "a" * 33, "+", "#", ""):
        with pytest.raises(ConfigError, match="is no NAME"):
            setup.add_node(made[0], name)
    for site, root, host in (("La b", "t", "h"), ("lab", "a/#", "h"), ("lab", "t", "h h")):
        with pytest.raises(ConfigError, match="is no --"):
            setup.init(tmp_path, site, [host], 1, root, None)
    with pytest.raises(ConfigError, match="choose another place or name"):
        setup.init(made[0], "lab", ["h"], 1, "tactic/v1", None)
