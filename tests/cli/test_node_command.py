"""``tactic node``: from the command line through a broker to a running node and back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from typer.testing import CliRunner

from tactic.app import app
from tactic.trust.keys import write_secret
from tactic_delivery.errors import CommandError
from tactic_gateway.errors import NodeError

if TYPE_CHECKING:
    from conftest import Site
    from tactic.demo.broker import Broker

Ask = Callable[..., dict[str, Any]]
TOPIC = "tactic/v1/lab/cam1"


class Ear:
    """Hears the commands to the node, and says them again."""

    def __init__(self, port: int) -> None:
        self.heard: list[bytes] = []
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = lambda _c, _u, m: self.heard.append(bytes(m.payload))
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"{TOPIC}/cmd", 1)
        self._client.loop_start()

    def say(self, payload: bytes) -> None:
        self._client.publish(f"{TOPIC}/cmd", payload, 1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def ear(broker: Broker) -> Iterator[Ear]:
    made = Ear(broker.port)
    yield made
    made.close()


@pytest.fixture
def ask(site: Site, broker: Broker) -> Ask:
    """A node with a key that captures all the time; asks it something."""
    source = {"kind": "folder", "path": "pictures", "loop": True, "fps": 10.0}
    site.configure(broker.port, source=source, node={"key_file": "cam1.key"})
    (site.folder / "keys").mkdir()
    for path in ("cam1.key", "keys/cam1.key"):
        write_secret(site.folder / path, bytes(range(32)).hex().encode())
    config = site.folder / "gateway.toml"
    config.write_text(config.read_text().replace("[gateway]", '[gateway]\nkeys = "keys"'))

    def ask(*arguments: object) -> dict[str, Any]:
        words = ["node", *map(str, arguments), "--config", str(config)]
        result = CliRunner().invoke(app, words)
        if result.exception is not None:
            raise result.exception
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return ask


def test_commands_reach_the_node_and_are_answered(site: Site, ask: Ask, ear: Ear) -> None:
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("device", "gateway_online"), "the node")
    assert ask("cam1", "ping")["uptime_s"] > 0
    report = ask("cam1", "report")
    assert report["frames"] >= 1
    assert ask("cam1", "set_budget", 200) == {"budget_bytes": 200}
    assert ask("cam1", "set_budget", "none") == {"budget_bytes": None}
    assert ask("cam1", "set_level", 0) == {"level": 0}
    with pytest.raises(NodeError, match=r"set_level failed: encoder\.level 7 is not in"):
        ask("cam1", "set_level", 7)
    with pytest.raises(NodeError, match="too few for a packet that is sealed"):
        ask("cam1", "set_budget", 30)
    carried_out = len(site.events("device", "command"))
    assert carried_out == 7
    # Whoever hears everything and says it again, changed or not, gets nothing done.
    heard = list(ear.heard)
    for message in heard:
        ear.say(message)
        ear.say(message[:-16])
        ear.say(message.replace(b"set_budget", b"set_bodget"))
    assert ask("cam1", "ping")["uptime_s"] > 0
    assert len(site.events("device", "command")) == carried_out + 1
    rejected = site.events("device", "command_rejected")
    assert len(rejected) == 1
    # Frames were sealed all the while, and stored.
    assert site.stop(device) == 0
    with pytest.raises(NodeError, match="cam1 is not online"):
        ask("cam1", "ping")
    assert site.stop(gateway) == 0
    (stopped,) = site.events("device", "stopped")
    assert stopped["ledger"]["stored"] > 0


def test_mistakes_are_one_line(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tactic_gateway.remote.BIRTH_S", 0.2)
    monkeypatch.setattr("tactic_gateway.remote.CONNECT_S", 0.2)
    for words, error, message in (
        (("cam1", "reboot"), CommandError, "reboot is none of ping, report"),
        (("cam1", "ping", "1"), CommandError, "ping takes nothing more"),
        (("cam1", "set_level"), CommandError, "set_level takes LEVEL"),
        (("cam1", "set_level", "x"), CommandError, "x is no number"),
        (("cam1", "set_level", "9"), CommandError, "less than or equal to 7"),
        (("cam9", "ping"), NodeError, "no node cam9 has announced itself"),
    ):
        with pytest.raises(error, match=message) as caught:
            ask(*words)
        assert "\n" not in str(caught.value)


def test_a_node_that_hears_nothing_is_waited_for_and_named(
    site: Site, ask: Ask, broker: Broker
) -> None:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.publish(f"{TOPIC}/birth", b'{"boot": 3}', 1, True)
    client.publish(f"{TOPIC}/state", b'{"state": "online", "boot": 3}', 1, True).wait_for_publish(9)
    started_s = time.monotonic()
    with pytest.raises(NodeError, match="cam1 does not answer within 1 s"):
        ask("cam1", "ping", "--wait", 1)
    assert time.monotonic() - started_s < 10
    client.disconnect()
    client.loop_stop()
