"""Real processes and a real broker: ``kill -9`` loses no frame and doubles none."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tactic.store.run import run_audit

if TYPE_CHECKING:
    from conftest import Site
    from tactic.demo.broker import Broker

PICTURES = 12


def listen(port: int) -> tuple[Client, list[dict[str, Any]]]:
    """A client that keeps what the node says about its health."""
    heard: list[dict[str, Any]] = []
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("tactic/v1/lab/cam1/health")
    client.on_message = lambda _c, _u, message: heard.append(json.loads(message.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client, heard


def numbers(site: Site, query: str) -> list[tuple[int, int]]:
    """(boot, number) rows of the gateway's store; none before it exists."""
    if not (site.folder / "gateway.db").exists():
        return []
    db = sqlite3.connect(site.folder / "gateway.db")
    try:
        return db.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        db.close()


def results(site: Site) -> list[tuple[int, int]]:
    return numbers(site, "SELECT boot, seq FROM results ORDER BY boot, seq")


def test_kill_device_and_gateway(site: Site, each_broker: Broker) -> None:
    source = {"fps": 8.0, "loop": True, "drain_s": 50.0}
    site.configure(each_broker.port, source=source, mqtt={"health_s": 0.1})
    client, heard = listen(each_broker.port)
    gateway, device = site.start("gateway"), site.start("device")

    site.wait_for(lambda: len(results(site)) >= 3, "the first results")
    gateway.kill()
    gateway.wait()
    site.wait_for(lambda: site.events("device", "gateway_offline"), "the gateway's last will")
    after = heard[-1]["frames"]
    site.wait_for(lambda: heard[-1]["frames"] >= after + 5, "frames without a gateway")
    device.kill()
    device.wait()
    captured = heard[-1]["frames"]

    site.configure(each_broker.port, source=source | {"limit": 2 * PICTURES})
    gateway, device = site.start("gateway"), site.start("device")
    assert device.wait(60) == 0
    (stopped,) = site.events("device", "stopped")
    frames = numbers(site, "SELECT boot, seq FROM packets WHERE kind = 0 ORDER BY boot, seq")
    site.wait_for(lambda: results(site) == frames, "a result for every frame")
    assert site.stop(gateway) == 0
    client.disconnect()
    client.loop_stop()

    first, second = sorted({boot for boot, _ in frames})
    of_first = [seq for boot, seq in frames if boot == first]
    assert of_first == list(range(len(of_first)))
    assert len(of_first) >= captured, "a frame that was captured before the kill is missing"
    assert [seq for boot, seq in frames if boot == second] == list(range(2 * PICTURES))
    assert numbers(site, "SELECT boot, first FROM drops") == []
    assert site.events("device", "started")[1]["backlog"] >= 3
    assert stopped["outbox_packets"] == 0
    everything = len(frames)
    assert stopped["ledger"] == {
        "captured": everything,
        "stored": everything,
        "dropped": {},
        "pending": 0,
    }
    run_audit(site.folder / "gateway.toml", None, None, as_json=False)
    run_audit(site.folder / "gateway.toml", "cam1", site.folder / "outbox", as_json=False)
