"""``tactic store``, ``tactic audit`` and ``tactic reprocess`` as they are typed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tactic.store.run import run_audit, run_forecast, run_fsck, run_gc
from tactic_codec.node_key import NodeKey
from tactic_codec.packet import Kind, Packet, pack
from tactic_delivery.ranges import Range
from tactic_delivery.receiver import Receiver
from tactic_device.errors import OutboxError
from tactic_device.outbox import Outbox
from tactic_gateway.errors import AuditError, DamageError, StoreError
from tactic_gateway.keys import Keys
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
    run_audit(filled, None, None, as_json=False)
    out = capsys.readouterr().out
    assert "cam1" in out and "exact" in out and "3 new" in out
    run_audit(filled, "cam2", None, as_json=True)
    assert json.loads(capsys.readouterr().out)["nodes"] == []
    change(filled, "UPDATE ledgers SET captured = 4, stored = 4")
    with pytest.raises(AuditError, match=r"not balanced \(1\): cam1: 1 frames") as fault:
        run_audit(filled, None, None, as_json=True)
    assert fault.value.exit_code == 9
    body = json.loads(capsys.readouterr().out)
    assert body["nodes"][0]["pending"] == 1
    assert body["frames"] == {"new": 3}
    assert len(body["faults"]) == 1


def test_gc_and_forecast(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(filled, "UPDATE packets SET status = 3")
    run_gc(filled, as_json=True)
    assert json.loads(capsys.readouterr().out)["purged"]["packets"] == 3
    run_audit(filled, None, None, as_json=True)
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


@pytest.mark.parametrize("secret", [None, bytes(range(32))])
def test_an_audit_with_the_outbox_is_exact_frame_by_frame(
    config: Path, capsys: pytest.CaptureFixture[str], secret: bytes | None
) -> None:
    """Some frames are stored, of some the acknowledgement was lost, some were given up."""
    folder = config.parent / "outbox"
    key = NodeKey(secret, "lab", "cam1") if secret else None
    if secret:
        (config.parent / "keys").mkdir()
        (config.parent / "keys/cam1.key").write_text(secret.hex() + "\n")
        (config.parent / "keys/cam1.key").chmod(0o600)
        config.write_text(CONFIG.replace("[bundles]", 'keys = "keys"\n[bundles]'))
    outbox = Outbox(folder, Random(1), max_bytes=1 << 18, durability="batch", key=key)
    payload = Random(2).randbytes(2000)
    for _ in range(120):
        outbox.put(Packet(Kind.FRAME, 0, 0, payload), 0)
    assert outbox.pending.ledger.dropped
    waiting = list(outbox.pending.entries)
    sent = [outbox.read(each) for each in waiting[:30]]
    raws = [raw for raw in sent if raw is not None]
    keys = Keys({"cam1": key} if key else {})
    arrivals = []
    receiver = Receiver(outbox.boot)
    for raw in raws:
        packet, opened = keys.open("cam1", raw)
        receipt = receiver.record(packet)
        arrivals.append(Arrival("cam1", packet, opened, 1, receipt.dropped))
    with closing(Store(config.parent / "gateway.db")) as store:
        store.requeue([0])
        store.commit(arrivals)
    for each in waiting[:20]:  # the acknowledgements of the others are lost
        outbox.settle(each.boot, Range(each.pkt, 1))
    outbox.close()
    before = sorted(path.name for path in folder.iterdir())

    run_audit(config, "cam1", folder, as_json=True)
    (balance,) = json.loads(capsys.readouterr().out)["nodes"]
    assert balance["captured"] == 120
    assert balance["pending"] == balance["held"] > 0
    assert balance["stored"] + sum(balance["dropped"].values()) + balance["pending"] == 120
    assert sorted(path.name for path in folder.iterdir()) == before, "nothing is written"

    stored = next(a.packet.pkt for a in arrivals if a.packet.kind is Kind.FRAME)
    change(config, f"DELETE FROM packets WHERE pkt = {stored}")
    change(config, "UPDATE accounts SET frames = frames - 1")
    change(
        config, f"UPDATE settled SET first = first + 1, count = count - 1 WHERE first = {stored}"
    )
    with pytest.raises(AuditError, match="cam1: 1 frames are nowhere"):
        run_audit(config, "cam1", folder, as_json=False)


def test_outboxes_that_cannot_be_audited(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match=r"no outbox; give the folder of outbox\.path"):
        run_audit(filled, "cam1", tmp_path / "nowhere", as_json=False)
