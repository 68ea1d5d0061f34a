"""A real node and a real gateway over an emulated link."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rig.child import Child
from tactic.demo.broker import Broker, free_port

if TYPE_CHECKING:
    from conftest import Site


_TACTIC = (sys.executable, "-m", "tactic")


def test_every_frame_comes_over_geo(site: Site, broker: Broker) -> None:
    port = free_port()
    site.configure(broker.port, mqtt={"host": "127.0.0.1", "port": port}, source={"drain_s": 60.0})
    there = ("--listen", f"127.0.0.1:{port}", "--broker", f"127.0.0.1:{broker.port}")
    command = [*_TACTIC, "link", "proxy", "geo", "--json", *there]
    link = Child(command, site.folder, "link")
    try:
        site.wait_for(lambda: link.events("listening"), "the link")
        site.start("gateway")
        site.wait_for(lambda: site.events("gateway", "mqtt_connected"), "the gateway")
        node = site.start("device")
        assert node.wait(120) == 0
        ledger = site.events("device", "stopped")[-1]["ledger"]
        assert ledger["stored"] == ledger["captured"] == 12
        assert link.end() == 0
    finally:
        link.remove()
    result = json.loads(link.log.read_text().splitlines()[-1])
    assert result["connections"] == 1
    assert 12 * 100 < result["bytes_up"] < result["on_air_up"]
    # The handshakes and a round trip of a frame, whatever the machine.
    assert result["seconds"] > 4 * 0.5
