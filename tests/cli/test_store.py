"""``tactic store``, ``tactic audit`` and ``tactic reprocess`` as they are typed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tactic.store.run import run_audit, run_forecast, run_fsck, run_gc
from tactic_codec.packet import Kind, Packet, pack
from tactic_gateway.errors import AuditError, DamageError, StoreError
from tactic_gateway.records import Arrival, Ledger
from tactic_gateway.store import Store

CONFIG = """\
[gateway]
site = "lab"
[bundles]
paths = ["b"]
unsigned = true
[store]
path = "gateway.db"
[retention]
packets_days = [1, 1, 1, 1]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def filled(config: Path) -> Path:
    """Three frames that were received in 1970, and a ledger that says so."""
    arrivals = []
    for pkt in range(3):
        packet = Packet(Kind.FRAME, 4096, pkt, b"x" * 100)
        arrivals.append(Arrival("cam1", packet, pack(packet), 1 + pkt))
    with closing(Store(config.parent / "gateway.db")) as store:
        store.requeue([0])
        ledger = Ledger("cam1", 4096, 5, captured=3, stored=3, pending=0, dropped={}, waiting=0)
        store.commit(arrivals, health=[(ledger, 3)])
    return config


def change(config: Path, statement: str) -> None:
    with closing(sqlite3.connect(config.parent / "gateway.db")) as db:
        db.execute(statement)
        db.commit()


def test_fsck(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_fsck(filled, mend=False, as_json=False)
    assert capsys.readouterr().out.endswith("gateway.db: whole\n")
    change(filled, "DELETE FROM packets WHERE pkt = 1")
    with pytest.raises(DamageError, match=r"not whole \(1\); run it again with --repair") as fault:
        run_fsck(filled, mend=False, as_json=True)
    assert fault.value.exit_code == 8
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["what"] == "cam1/4096: 3 frames are counted, 2 are there"
    run_fsck(filled, mend=True, as_json=False)
    assert capsys.readouterr().out.endswith("gateway.db: whole\n")


def test_audit(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_audit(filled, None, as_json=False)
    out = capsys.readouterr().out
    assert "cam1" in out and "exact" in out and "3 new" in out
    run_audit(filled, "cam2", as_json=True)
    assert json.loads(capsys.readouterr().out)["nodes"] == []
    change(filled, "UPDATE ledgers SET captured = 4, stored = 4")
    with pytest.raises(AuditError, match=r"not balanced \(1\): cam1: 1 frames") as fault:
        run_audit(filled, None, as_json=True)
    assert fault.value.exit_code == 9
    body = json.loads(capsys.readouterr().out)
    assert body["nodes"][0]["pending"] == 1
    assert body["frames"] == {"new": 3}
    assert len(body["faults"]) == 1


def test_gc_and_forecast(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(filled, "UPDATE packets SET status = 3")
    run_gc(filled, as_json=True)
    assert json.loads(capsys.readouterr().out)["purged"]["packets"] == 3
    run_audit(filled, None, as_json=True)
    assert json.loads(capsys.readouterr().out)["frames"] == {"purged": 3}
    run_gc(filled, as_json=False)
    assert "deleted 0 packets and 0 results" in capsys.readouterr().out
    run_forecast(filled, as_json=False)
    assert "never full at this rate" in capsys.readouterr().out
    run_forecast(filled, as_json=True)
    assert json.loads(capsys.readouterr().out)["streams"] == []


def test_without_a_store(config: Path) -> None:
    for run in (run_gc, run_forecast):
        with pytest.raises(StoreError, match=r"no such store; check \[store\] path"):
            run(config, as_json=False)
    assert not (config.parent / "gateway.db").exists()
