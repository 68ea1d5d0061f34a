"""fsck, gc, forecast and reprocess: on a store that is at rest, and beside one that is not."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tactic_codec.bundle import Bundle
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_gateway import fsck, reprocess, upkeep
from tactic_gateway.ages import DAY_NS
from tactic_gateway.config import Bundles, Gateway, GatewayConfig, Retention, StoreSection
from tactic_gateway.database import Database, held, reading, scripts
from tactic_gateway.errors import StoreError, WorkerLostError
from tactic_gateway.forecast import Forecast, forecast
from tactic_gateway.fsck import Finding
from tactic_gateway.pipes import Patience
from tactic_gateway.process import Worker
from tactic_gateway.purge import Purged
from tactic_gateway.records import Arrival, Job, Outcome
from tactic_gateway.reprocess import Wanted
from tactic_gateway.results import Finding as Answer
from tactic_gateway.results import Result, Verdict
from tactic_gateway.store import Store

MakePacket = Callable[..., bytes]
WIRE = 0xABCD
NOW_NS = 1000 * DAY_NS + DAY_NS // 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


def settings_for(path: Path, *bundles: Path, **retention: Any) -> GatewayConfig:
    return GatewayConfig(
        gateway=Gateway(site="lab"),
        bundles=Bundles(paths=bundles or (path,), unsigned=True),
        store=StoreSection(path=path),
        retention=Retention(**retention),
    )


def arrival(pkt: int, age_days: float = 0.0, priority: int = 1, size: int = 400) -> Arrival:
    values: dict[str, Any] = {"payload": bytes(size), "bundle": WIRE, "priority": priority}
    packet = Packet(kind=Kind.FRAME, boot=1, pkt=pkt, **values)
    return Arrival("cam", packet, pack(packet), NOW_NS - int(age_days * DAY_NS))


def filled(path: Path, *arrivals: Arrival) -> None:
    with closing(Store(path)) as store:
        store.requeue([WIRE])
        store.commit(arrivals)
        while jobs := store.claim(256):
            answer = Answer("classification", "head", "0", {"classes": []})
            store.finish([Outcome(job, (Result(job.key, answer, None, 9, 1.0),)) for job in jobs])


def checked(path: Path) -> list[Finding]:
    with reading(path) as db:
        return list(fsck.check(db, lambda _: None))


def altered(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def test_a_whole_store_has_no_findings(path: Path) -> None:
    filled(path, *(arrival(pkt) for pkt in range(20)))
    assert checked(path) == []


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM packets WHERE pkt = 3", "20 frames are counted, 19 are there"),
        ("UPDATE accounts SET frames = 3", "3 frames are counted, 20 are there"),
        ("UPDATE accounts SET purged_frames = 2", "18 frames are counted, 20 are there"),
        ("DELETE FROM accounts", "packets or numbers without an account"),
        ("DELETE FROM settled", "packets whose numbers are not settled"),
        ("UPDATE settled SET count = 7", "packets whose numbers are not settled"),
        ("INSERT INTO settled VALUES ('cam', 1, 5, 2)", "overlap or touch"),
        ("INSERT INTO failures VALUES ('cam', 1, 4, 'x', 'y')", "failures without a failed frame"),
        ("DELETE FROM results", "latest results that are not there"),
    ],
)
def test_what_can_be_derived_is_found_and_mended(path: Path, statement: str, what: str) -> None:
    filled(path, *(arrival(pkt) for pkt in range(20)))
    altered(path, statement)
    findings = checked(path)
    assert any(what in finding.what for finding in findings), findings
    assert {finding.remedy for finding in findings} == {fsck.REPAIR}
    with closing(Database(path)) as database:
        fsck.repair(database)
    assert checked(path) == []


@pytest.mark.parametrize(
    ("statement", "what", "remedy"),
    [
        (
            "UPDATE packets SET raw = zeroblob(420) WHERE pkt IN (3, 4)",
            "packets that fail their check, first cam/1/3",
            "keep a copy",
        ),
        ("UPDATE packets SET seq = 9 WHERE pkt = 3", "not what their row says", "report it"),
        ("UPDATE results SET body = '{'", "results that are no JSON", "tactic reprocess"),
    ],
)
def test_what_cannot_be_derived_is_named(
    path: Path, statement: str, what: str, remedy: str
) -> None:
    filled(path, *(arrival(pkt) for pkt in range(20)))
    altered(path, statement)
    (finding,) = checked(path)
    assert what in finding.what
    assert remedy in finding.remedy


def test_a_damaged_file(path: Path) -> None:
    filled(path, *(arrival(pkt, size=3000) for pkt in range(200)))
    data = bytearray(path.read_bytes())
    data[4096 * 20 : 4096 * 22] = bytes(b"\xff" * 8192)
    path.write_bytes(data)
    findings = checked(path)
    assert findings[0].what.startswith("the file is damaged")
    assert "recover" in findings[0].remedy


def test_stores_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(StoreError, match=r"no such store; check \[store\] path"), reading(path):
        pass
    path.write_bytes(b"nothing" * 100)
    with pytest.raises(StoreError, match="not a database"), reading(path):
        pass
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(dict(scripts())[1] + "PRAGMA user_version = 1;")
    with pytest.raises(StoreError, match=r"schema 1.*start the gateway once"), reading(path):
        pass


def test_one_gateway_holds_a_store(path: Path) -> None:
    with held(path) as first:
        assert first
        with held(path) as second:
            assert not second
    with held(path) as again:
        assert again


def test_gc_deletes_and_shrinks(path: Path) -> None:
    filled(path, *(arrival(pkt, age_days=5, size=3000) for pkt in range(600)), arrival(600))
    told: list[Purged] = []
    done = upkeep.collect(path, Retention(packets_days=(1, 1, 1, 1)), NOW_NS, told.append)
    assert done.purged.packets == sum(each.packets for each in told) == 600
    assert done.vacuumed and done.after_bytes < done.before_bytes / 3
    assert checked(path) == []
    with pytest.raises(StoreError, match="no such store"):
        upkeep.collect(path.with_name("none.db"), Retention(), NOW_NS, told.append)


def test_gc_beside_a_gateway_leaves_an_old_file_its_size(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(dict(scripts())[1] + "PRAGMA user_version = 1;")
    filled(path, *(arrival(pkt, age_days=5, size=3000) for pkt in range(600)))
    settings = Retention(packets_days=(1, 1, 1, 1))
    with held(path):
        assert not upkeep.collect(path, settings, NOW_NS, lambda _: None).vacuumed
    alone = upkeep.collect(path, settings, NOW_NS, lambda _: None)
    assert alone.vacuumed and alone.after_bytes < alone.before_bytes / 3
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def foreseen(path: Path, **retention: Any) -> Forecast:
    with reading(path) as db:
        return forecast(db, settings_for(path, **retention), NOW_NS)


def test_a_forecast_goes_on_like_the_latest_days(path: Path) -> None:
    days = [arrival(10 * d + n, age_days=d + 0.01 * n) for d in range(20) for n in range(10)]
    filled(path, *days, *(arrival(1000 + n, age_days=0.1, priority=3) for n in range(65)))
    found = foreseen(path)
    assert found.days_measured == 6.5
    alarm, usual = sorted(found.streams, key=lambda each: -each.priority)
    assert (alarm.packets_a_day, usual.packets_a_day) == (10, 70 / 6.5)
    assert usual.bytes_a_day == 420 * 70 / 6.5
    assert found.growth_bytes_a_day == pytest.approx(found.factor * 420 * 135 / 6.5)
    assert found.days_to_cap is None
    assert found.days_to_full == pytest.approx(found.free_bytes / found.growth_bytes_a_day)
    capped = foreseen(path, max_bytes=found.store_bytes + (1 << 20))
    assert capped.days_to_cap == pytest.approx((1 << 20) / found.growth_bytes_a_day)
    assert capped.days_to_full is None, "the cap comes first"
    assert foreseen(path, max_bytes=1 << 20).days_to_cap is not None
    aged = foreseen(path, max_bytes=1 << 30, packets_days=(3,) * 4, results_days=(4,) * 4)
    assert (aged.days_to_cap, aged.days_to_full) == (None, None), "as much goes as comes"


def test_a_forecast_of_a_young_and_of_an_empty_store(path: Path) -> None:
    filled(path)
    assert foreseen(path).streams == []
    assert foreseen(path).days_to_full is None
    filled(path, *(arrival(n, age_days=0.25) for n in range(10)))
    found = foreseen(path)
    assert found.days_measured == 0.25
    assert found.streams[0].packets_a_day == 40


@pytest.fixture
def bundle_path(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle("tiny")


@pytest.fixture
def in_process(local: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Reprocess without a process of its own; gives the sizes of its batches."""
    batches: list[int] = []

    class Counted:
        def __init__(self, _setup: object) -> None:
            self.start = local.start
            self.stop = local.stop

        def process(self, jobs: list[Job], left_s: Patience) -> list[Verdict]:
            batches.append(len(jobs))
            if any(job.key.seq == 13 for job in jobs):
                raise WorkerLostError("crash", "signal 11")
            return local.process(jobs, left_s)

    monkeypatch.setattr(reprocess, "Process", Counted)
    monkeypatch.setattr("os.nice", lambda _: 0)
    yield batches


def decoded(path: Path, bundle: Bundle, frames: list[bytes], local: Worker) -> None:
    """A gateway's work on frames, by a model that the heads had once."""
    with closing(Store(path)) as store:
        store.requeue([bundle.codec.wire_id])
        store.commit([Arrival("cam1", unpack(raw), raw, unpack(raw).pkt) for raw in frames])
        while jobs := store.claim(256):
            verdicts = local.process(jobs, lambda: 1.0)
            outcomes = []
            for job, verdict in zip(jobs, verdicts, strict=True):
                findings = [replace(each, model="former") for each in verdict.findings]
                results = tuple(Result(job.key, each, None, 9, 1.0) for each in findings)
                outcomes.append(Outcome(job, results, verdict.failure))
            store.finish(outcomes)


def models(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT model, count(*) FROM results GROUP BY model").fetchall())


def test_newer_heads_see_stored_frames(
    path: Path,
    bundle: Bundle,
    bundle_path: Path,
    local: Worker,
    make_frame: MakePacket,
    in_process: list[int],
) -> None:
    decoded(path, bundle, [make_frame(n, value=n % 9) for n in range(12)], local)
    settings = settings_for(path, bundle_path)
    told: list[tuple[int, int]] = []
    tally = reprocess.reprocess(settings, Wanted(), lambda *at: told.append(at))
    assert (tally.frames, tally.results, tally.failed) == (12, 12, {})
    assert told[-1] == (12, 12)
    assert in_process == [8, 4]
    present = bundle.manifest.heads[0].model.sha256[:16]
    assert models(path) == {"former": 12, present: 12}
    again = reprocess.reprocess(settings, Wanted(), lambda *_: None)
    assert (again.frames, again.results) == (0, 0)
    with closing(Store(path)) as store:
        assert '"model":"former"' in store.latest()[0][2], "the topics show what they showed"
    assert checked(path) == []


def test_only_what_is_wanted_is_done(
    path: Path,
    bundle: Bundle,
    bundle_path: Path,
    local: Worker,
    make_frame: MakePacket,
    in_process: list[int],
) -> None:
    decoded(path, bundle, [make_frame(n) for n in range(12)], local)
    settings = settings_for(path, bundle_path)
    for wanted, count in (
        (Wanted(node="cam2"), 0),
        (Wanted(since_ns=9), 3),
        (Wanted(limit=2), 2),
        (Wanted(node="cam1"), 7),
    ):
        assert reprocess.reprocess(settings, wanted, lambda *_: None).frames == count


def test_a_frame_that_failed_may_succeed_and_a_deadly_one_costs_only_itself(
    path: Path,
    bundle: Bundle,
    bundle_path: Path,
    local: Worker,
    make_frame: MakePacket,
    in_process: list[int],
) -> None:
    frames = [make_frame(n) for n in range(10, 16)]
    decoded(path, bundle, [*frames, make_frame(16, payload=b"")], local)
    altered(
        path,
        "UPDATE packets SET status = 4 WHERE pkt = 11",
        "INSERT INTO failures VALUES ('cam1', 7, 11, 'model', 'no luck')",
        "DELETE FROM results WHERE seq = 11",
    )
    tally = reprocess.reprocess(settings_for(path, bundle_path), Wanted(), lambda *_: None)
    assert (tally.frames, tally.results) == (7, 5)
    assert tally.failed == {"crash": 1, "stream": 1}
    assert in_process == [7, 1, 1, 1, 1, 1, 1, 1]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT seq FROM failures").fetchall() == [(16,)]
    assert checked(path) == []


def test_reprocess_beside_a_gateway_that_stores(
    path: Path,
    bundle: Bundle,
    bundle_path: Path,
    local: Worker,
    make_frame: MakePacket,
    in_process: list[int],
) -> None:
    decoded(path, bundle, [make_frame(n) for n in range(100, 400)], local)
    stop = threading.Event()
    stored = []
    with closing(Store(path)) as store:

        def gateway() -> None:
            pkt = 1000
            while not stop.is_set():
                raw = make_frame(pkt)
                store.commit([Arrival("cam1", unpack(raw), raw, pkt)])
                stored.append(pkt)
                pkt += 1
                time.sleep(0.001)

        thread = threading.Thread(target=gateway)
        thread.start()
        tally = reprocess.reprocess(settings_for(path, bundle_path), Wanted(), lambda *_: None)
        stop.set()
        thread.join()
        assert tally.results == 300
        assert store.backlog == 0 or len(stored) > 0
        assert store.account()["done"] == 300, "what is not decoded yet is left to the gateway"
    assert checked(path) == []


def test_a_process_of_its_own_does_it(
    path: Path,
    bundle: Bundle,
    bundle_path: Path,
    local: Worker,
    make_frame: MakePacket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.nice", lambda _: 0)
    decoded(path, bundle, [make_frame(n) for n in range(3)], local)
    tally = reprocess.reprocess(settings_for(path, bundle_path), Wanted(), lambda *_: None)
    assert (tally.frames, tally.results) == (3, 3)
