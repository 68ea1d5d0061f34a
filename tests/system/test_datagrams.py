"""A node without IP: real processes, and a link that loses a fifth of the datagrams."""

from __future__ import annotations

import re
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from rig.child import Child
from rig.radio import Radio
from tactic.store.run import run_audit
from tactic.trust.keys import write_secret

if TYPE_CHECKING:
    from conftest import Site
    from tactic.demo.broker import Broker

LOSS, LATE = 0.2, 0.1
FRAMES = 40
SECRET = b"7a" * 32


def free_udp_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configure(
    site: Site, broker: int, radio: int, mtu_bytes: int, sealed: bool = False, **source: Any
) -> None:
    """A node that has datagrams in the place of a broker."""
    node = {"key_file": "cam1.key"} if sealed else {}
    link = {"send_to": f"udp://127.0.0.1:{radio}", "mtu_bytes": mtu_bytes}
    times = {"first_timeout_s": 1.0, "most_timeout_s": 4.0, "poll_s": 0.3}
    site.configure(broker, node=node, source={"drain_s": 200.0} | source, datagram=link | times)
    path = site.folder / "device.toml"
    path.write_text(re.sub(r"^\[mqtt\]\n(?:\w.*\n)*", "", path.read_text(), flags=re.MULTILINE))
    if sealed:
        (site.folder / "keys").mkdir()
        for name in ("cam1.key", "keys/cam1.key"):
            write_secret(site.folder / name, SECRET)
        path = site.folder / "gateway.toml"
        path.write_text(path.read_text().replace("[gateway]\n", '[gateway]\nkeys = "keys"\n'))


def start_bridge(site: Site, broker: int, port: int, mtu_bytes: int) -> Child:
    (site.folder / "bridge.toml").write_text(
        f'[bridge]\nsite = "lab"\nlisten = "udp://127.0.0.1:{port}"\nreport_s = 1.0\n'
        f'[[nodes]]\nnode = "cam1"\naddress = "127.0.0.1"\nmtu_bytes = {mtu_bytes}\n'
        f"[assembly]\npatience_s = 20.0\n"
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n'
    )
    command = [sys.executable, "-m", "tactic", "link", "bridge", "--config", "bridge.toml"]
    return Child(command, site.folder, "bridge")


@pytest.fixture
def udp_port() -> int:
    return free_udp_port()


@pytest.fixture
def bridges() -> Iterator[list[Child]]:
    """What a test starts is ended with it."""
    started: list[Child] = []
    yield started
    for each in started:
        each.remove()


def stored(site: Site) -> list[tuple[int, int]]:
    """(boot, seq) of the frames in the gateway's store."""
    path = site.folder / "gateway.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as db:
        try:
            return db.execute("SELECT boot, seq FROM packets WHERE kind = 0").fetchall()
        except sqlite3.OperationalError:
            return []


def holds(site: Site, least: int) -> bool:
    """Whether the gateway has stored so many frames."""
    return len(stored(site)) >= least


def results(site: Site) -> list[tuple[int, int]]:
    """(boot, seq) of what was decoded and classified."""
    with closing(sqlite3.connect(site.folder / "gateway.db")) as db:
        return db.execute("SELECT boot, seq FROM results").fetchall()


def check(site: Site, frames: int) -> None:
    """Each frame was stored once and gave a result, and both ends say so."""
    ledger = site.events("device", "stopped")[-1]["ledger"]
    assert ledger == {"captured": frames, "stored": frames, "dropped": {}, "pending": 0}
    assert len(stored(site)) == len(set(stored(site))) == frames
    site.wait_for(lambda: sorted(results(site)) == sorted(stored(site)), "a result for each")
    run_audit(site.folder / "gateway.toml", "cam1", site.folder / "outbox", as_json=False)
    for log in site.folder.glob("*.log"):
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("mtu_bytes", [51, 340])
def test_every_frame_is_stored_once_over_a_bad_link(
    site: Site, broker: Broker, udp_port: int, bridges: list[Child], mtu_bytes: int
) -> None:
    bridge = start_bridge(site, broker.port, udp_port, mtu_bytes)
    bridges.append(bridge)
    radio = Radio(udp_port, Random(mtu_bytes), loss=LOSS, late=LATE, mtu_bytes=mtu_bytes)
    with radio:
        configure(site, broker.port, radio.port, mtu_bytes, loop=True, limit=FRAMES, fps=20.0)
        site.wait_for(lambda: bridge.events("mqtt_connected"), "the bridge")
        gateway, device = site.start("gateway"), site.start("device")
        assert device.wait(230) == 0
    check(site, FRAMES)
    assert site.events("device", "gateway_online")
    assert radio.counts["late"] and not radio.counts["long"]
    assert 0.1 < radio.counts["lost"] / (radio.counts["up"] + radio.counts["down"]) < 0.3
    (birth,) = site.events("gateway", "birth")
    assert birth["boot"] == site.events("device", "started")[0]["boot"]
    assert site.stop(gateway) == 0 and bridge.end() == 0
    (figures,) = bridge.events("bridge_stopped")
    assert figures["packets"] >= FRAMES
    if mtu_bytes == 51:
        assert figures["datagrams"] > 4 * FRAMES, "packets are cut"


def test_sealed_packets_over_a_bad_link(
    site: Site, broker: Broker, udp_port: int, bridges: list[Child]
) -> None:
    """No beginning is of use, and only the gateway can make an acknowledgement short enough."""
    bridge = start_bridge(site, broker.port, udp_port, 51)
    bridges.append(bridge)
    with Radio(udp_port, Random(5), loss=LOSS, late=LATE, mtu_bytes=51) as radio:
        configure(site, broker.port, radio.port, 51, sealed=True, loop=True, limit=25, fps=20.0)
        gateway, device = site.start("gateway"), site.start("device")
        assert device.wait(230) == 0
    check(site, 25)
    assert not site.events("gateway", "birth")
    assert site.stop(gateway) == 0 and bridge.end() == 0
    assert not {"cut", "acks_too_long"} & bridge.events("bridge_stopped")[0].keys()


def test_a_killed_bridge_and_a_broker_that_goes_lose_nothing(
    site: Site, broker: Broker, udp_port: int, bridges: list[Child]
) -> None:
    bridge = start_bridge(site, broker.port, udp_port, 51)
    bridges.append(bridge)
    with Radio(udp_port, Random(3), loss=LOSS, late=LATE, mtu_bytes=51) as radio:
        configure(site, broker.port, radio.port, 51, loop=True, limit=FRAMES, fps=5.0)
        gateway, device = site.start("gateway"), site.start("device")
        site.wait_for(partial(holds, site, 5), "frames")
        bridge.kill()
        site.wait_for(partial(holds, site, 10), "frames through the next bridge")
        broker.__exit__(None, None, None)
        site.wait_for(lambda: bridge.events("mqtt_down"), "the broker's end")
        site.wait_for(lambda: site.events("device", "gateway_offline"), "the silence")
        broker.__enter__()
        site.wait_for(partial(holds, site, 20), "frames through the next broker")
        bridge.kill()
        assert device.wait(230) == 0
    check(site, FRAMES)
    assert site.stop(gateway) == 0
