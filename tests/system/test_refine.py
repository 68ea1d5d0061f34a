"""Refinement by a real node and a real gateway: asked for, sent, decoded again, accounted for."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tactic.demo.broker import Broker
from tactic.store.run import run_audit
from tactic.trust.keys import write_secret

if TYPE_CHECKING:
    from conftest import Site

SECRET = b"7a" * 32
#: the state, one plane of three, and a little: too little to be sure
BUDGET_BYTES = 20 + 4 + 64 + 8


def bodies(site: Site, parts: int, boot: int) -> dict[int, dict[str, Any]]:
    """Results of a run, by the number of their frame."""
    path = site.folder / "gateway.db"
    query = "SELECT seq, body FROM results WHERE parts = ? AND boot = ?"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return {seq: json.loads(body) for seq, body in db.execute(query, (parts, boot))}


def configure(site: Site, port: int, sealed: bool) -> None:
    node: dict[str, Any] = {}
    seal_bytes = 0
    if sealed:
        (site.folder / "keys").mkdir()
        for name in ("cam1.key", "keys/cam1.key"):
            write_secret(site.folder / name, SECRET)
        node, seal_bytes = {"key_file": "cam1.key"}, 24
    source = {"loop": True, "fps": 5.0, "drain_s": 60.0}
    encoder = {"budget_bytes": BUDGET_BYTES + seal_bytes}
    site.configure(port, node=node, source=source, encoder=encoder)
    path = site.folder / "gateway.toml"
    text = path.read_text() + "[refine]\nthreshold = 0.9\ngather_s = 0.2\ndeadline_s = 6.0\n"
    if sealed:
        text = text.replace("[gateway]\n", '[gateway]\nkeys = "keys"\n')
    path.write_text(text)


@pytest.mark.parametrize("sealed", [False, True])
def test_unsure_frames_are_completed_and_every_frame_keeps_its_first_answer(
    site: Site, broker: Broker, sealed: bool
) -> None:
    configure(site, broker.port, sealed)
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("device", "started"), "the node")
    boot = site.events("device", "started")[0]["boot"]
    site.wait_for(lambda: site.events("gateway", "gateway_ready"), "the gateway")
    site.wait_for(lambda: len(bodies(site, 1, boot)) >= 12, "refined answers")
    refined, first = bodies(site, 1, boot), bodies(site, 0, boot)
    assert refined.keys() <= first.keys()
    for seq, answer in refined.items():
        assert answer["wire_bytes"] > first[seq]["wire_bytes"]
        assert answer["classes"][0]["score"] != first[seq]["classes"][0]["score"]
    changed = [s for s in refined if _label(refined[s]) != _label(first[s])]
    assert changed, "some were wrong at first"

    # A killed node has nothing left of its frames: they keep their first answers.
    device.kill()
    device.wait()
    device = site.start("device")
    site.wait_for(lambda: len(site.events("device", "started")) == 2, "the next run")
    later = site.events("device", "started")[1]["boot"]
    site.wait_for(lambda: len(bodies(site, 1, later)) >= 3, "refined answers of the next run")
    assert site.stop(device) == 0

    config = site.folder / "device.toml"
    config.write_text(config.read_text().replace("loop = true", "limit = 1"))
    assert site.start("device").wait(60) == 0
    ledger = site.events("device", "stopped")[-1]["ledger"]
    assert ledger["pending"] == 0 and ledger["captured"] == ledger["stored"]
    run_audit(site.folder / "gateway.toml", "cam1", site.folder / "outbox", as_json=False)
    assert site.stop(gateway) == 0
    counters = site.events("gateway", "gateway_stopped")[0]
    assert counters["refine.asked"] >= 15
    for log in site.folder.glob("*.log"):
        assert "Traceback" not in log.read_text()


def _label(body: dict[str, Any]) -> str:
    return str(body["classes"][0]["label"])
