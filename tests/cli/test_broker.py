"""The real daemons and a real broker: garbage from the network, and a broker that goes away."""

from __future__ import annotations

import random
import sqlite3
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tactic.demo.broker import Broker
from tactic_codec.packet import Kind, Packet, pack

if TYPE_CHECKING:
    from conftest import Site

PICTURES = 12
NOTHING_LEFT = {"dropped": {}, "pending": 0}
TOPIC = "tactic/v1/lab/cam1/f"


def garbage() -> list[bytes]:
    """What a gateway must refuse: cuts, random bytes, one flipped bit in each byte."""
    good = pack(Packet(Kind.FRAME, boot=7, pkt=0, payload=bytes(range(40))))
    rng = random.Random(3)
    cuts = [good[:size] for size in range(len(good))]
    noise = [rng.randbytes(rng.randrange(1, 200)) for _ in range(60)]
    flipped = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    return [*cuts, *noise, *flipped, good + b"\0"]


def test_garbage_is_counted_and_the_gateway_lives(site: Site, broker: Broker) -> None:
    site.configure(broker.port)
    gateway = site.start("gateway")
    site.wait_for(lambda: site.events("gateway", "mqtt_connected"), "the gateway")
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    bad = garbage()
    for packet in bad:
        client.publish(TOPIC, packet, qos=1)
    client.publish("tactic/v1/lab/cam1/birth", b"{" * 5000, qos=1)
    # A sound packet of a bundle that this gateway does not have.
    client.publish(TOPIC, pack(Packet(Kind.FRAME, boot=7, pkt=0, payload=b"x")), qos=1)

    def rejected() -> int:
        return sum(n for name, n in site.counters().items() if name.startswith("rejected."))

    site.wait_for(lambda: rejected() >= len(bad) + 1, "every bad packet in the counters")
    assert rejected() == len(bad) + 1
    site.wait_for(lambda: site.events("gateway", "bundle_unknown"), "the frame of no bundle")
    device = site.start("device")
    assert device.wait(120) == 0
    site.wait_for(lambda: results(site) == PICTURES, "results after the garbage")
    client.disconnect()
    client.loop_stop()
    assert gateway.poll() is None
    assert site.stop(gateway) == 0
    db = sqlite3.connect(site.folder / "gateway.db")
    assert db.execute("SELECT sum(count) FROM rejects").fetchone() == (len(bad) + 1,)
    db.close()
    assert "Traceback" not in (site.folder / "gateway.log").read_text()


def results(site: Site) -> int:
    path = site.folder / "gateway.db"
    if not path.exists():
        return 0
    db = sqlite3.connect(path)
    try:
        return int(db.execute("SELECT count(*) FROM results").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def test_a_broker_that_is_down_at_the_start_and_later(site: Site) -> None:
    broker = Broker(site.folder)
    endless = {"fps": 10.0, "loop": True}
    site.configure(broker.port, source=endless, mqtt={"health_s": 0.2})
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("gateway", "mqtt_down"), "the gateway's warning")
    site.wait_for(lambda: site.events("device", "mqtt_down"), "the device's warning")
    (down,) = site.events("device", "mqtt_down")
    assert down["level"] == "warning"
    assert str(broker.port) in down["broker"]
    assert "refused" in down["cause"].lower()
    assert "check [mqtt] and the broker" in down["remedy"]

    with broker:
        site.wait_for(lambda: results(site) >= 5, "results once the broker is there")
    site.wait_for(lambda: len(site.events("device", "mqtt_down")) == 2, "the second warning")
    before = results(site)
    with broker:
        site.wait_for(lambda: results(site) >= before + 5, "results after the outage")
        assert site.stop(device) == 0
        assert site.stop(gateway) == 0

    site.configure(broker.port, source={"fps": 0.0})
    with broker:
        gateway, device = site.start("gateway"), site.start("device")
        assert device.wait(120) == 0
        former, last = (e["ledger"] for e in site.events("device", "stopped"))
        assert last["captured"] == former["captured"] + PICTURES
        site.wait_for(lambda: results(site) == last["captured"], "a result for every frame")
        assert site.stop(gateway) == 0
    assert last == {"captured": last["captured"], "stored": last["captured"]} | NOTHING_LEFT
    assert len(site.events("device", "mqtt_down")) == 2
    assert "Traceback" not in (site.folder / "device.log").read_text()
