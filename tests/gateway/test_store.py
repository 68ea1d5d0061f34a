"""The store: migrations, what is kept, what is taken up again, what counts as latest."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_codec.types import FrameKey
from tactic_gateway.database import scripts
from tactic_gateway.errors import StoreError
from tactic_gateway.records import Arrival, Birth, Job, Outcome
from tactic_gateway.results import Finding, Result
from tactic_gateway.store import Store

WIRE = 0xABCD


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "gateway.db"


def opened(path: Path, *wires: int) -> Store:
    store = Store(path)
    store.requeue(wires or (WIRE,))
    return store


def arrival(pkt: int, boot: int = 1, node: str = "cam", bundle: int = WIRE) -> Arrival:
    packet = Packet(kind=Kind.FRAME, boot=boot, pkt=pkt, bundle=bundle, payload=b"x")
    return Arrival(node, packet, pack(packet), received_ns=pkt)


def part(pkt: int, seq: int, index: int) -> Arrival:
    packet = Packet(
        kind=Kind.PART, boot=1, pkt=pkt, payload=b"y", captured=seq, geometry=index, bundle=WIRE
    )
    return Arrival("cam", packet, pack(packet), received_ns=pkt)


def result(job: Job, model: str = "0") -> Result:
    finding = Finding("classification", "head", model, {"classes": ["cat"]})
    return Result(job.key, finding, None, 21, 1.0)


def finish(store: Store, *jobs: Job) -> list[bool]:
    return [latest for _, latest in store.finish([Outcome(job, (result(job),)) for job in jobs])]


def test_fresh_file_has_the_newest_schema(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_a_file_of_the_first_schema_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.executescript(dict(scripts())[1])
    db.execute("PRAGMA user_version = 1")
    alarm = Packet(kind=Kind.FRAME, boot=1, pkt=6, bundle=WIRE, priority=3, payload=b"alarm")
    raws = [arrival(n).raw for n in (0, 1, 2)] + [part(3, seq=0, index=1).raw, pack(alarm)]
    insert = (
        "INSERT INTO packets (node, boot, pkt, kind, seq, bundle, received_ns, status, attempts,"
        " raw) VALUES ('cam', 1, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    for raw in raws:
        packet = unpack(raw)
        # Two results, one frame that waited for a bundle, and one in hand at four deaths.
        status, attempts = {0: (3, 1), 2: (2, 0), 6: (1, 4)}.get(packet.pkt, (3, 1))
        numbers = (packet.pkt, packet.kind, packet.seq, packet.bundle)
        db.execute(insert, (*numbers, 86_400 * 10**9 * packet.pkt, status, attempts, raw))
    db.execute("INSERT INTO drops VALUES ('cam', 1, 4, 2, 1)")
    db.execute("INSERT INTO drops VALUES ('cam', 9, 10, 5, 1)")
    for seq in (0, 1):
        db.execute("INSERT INTO results VALUES ('cam', 1, ?, 'head', 'task', '{}')", (seq,))
    db.execute("INSERT INTO latest VALUES ('cam', 'task', 1, 1, 'head')")
    db.commit()
    db.close()

    store = opened(path)
    assert store.settled("cam", 1) == [(0, 7)]
    assert store.settled("cam", 9) == [(10, 5)]
    assert store.latest() == [("cam", "task", "{}")]
    (alarmed, waited) = reversed(store.claim(9))
    assert (alarmed.key.seq, alarmed.priority) == (6, 3)
    assert (waited.key.seq, waited.priority) == (2, 1)
    store.commit([arrival(8)])
    assert store.settled("cam", 1) == [(0, 7), (8, 1)]
    store.close()
    db = sqlite3.connect(path)
    assert db.execute("SELECT frames, parts, reports FROM accounts").fetchall() == [(5, 1, 0)]
    days = db.execute("SELECT day, packets FROM traffic WHERE priority = 1 ORDER BY day").fetchall()
    assert days == [(0, 2), (1, 1), (2, 1), (3, 1)]
    assert db.execute("SELECT count(*), max(model) FROM results").fetchall() == [(2, "")]
    db.close()


def test_file_of_a_newer_version_is_refused(path: Path) -> None:
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="newer tactic; upgrade") as caught:
        Store(path)
    assert caught.value.exit_code == 8


def test_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"check \[store\] path"):
        Store(path)


def test_a_failed_transaction_leaves_nothing_and_the_store_usable(path: Path) -> None:
    store = opened(path)
    broken = Arrival("cam", unpack(arrival(1).raw), raw=None, received_ns=0)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.commit([arrival(0), broken])
    assert store.settled("cam", 1) == []
    store.commit([arrival(0)])
    assert store.settled("cam", 1) == [(0, 1)]
    store.close()


def test_settled_numbers_come_as_ranges(path: Path) -> None:
    store = opened(path)
    dropped = (DropRecord(Reason.FULL, 3, 2),)
    store.commit([arrival(n) for n in (0, 1, 2, 6, 7, 9)])
    drop = Packet(kind=Kind.DROP, boot=1, pkt=10)
    store.commit([Arrival("cam", drop, pack(drop), 0, dropped)])
    store.commit([arrival(100, boot=2)])
    assert store.settled("cam", 1) == [(0, 5), (6, 2), (9, 2)]
    assert store.settled("cam", 2) == [(100, 1)]
    assert store.settled("other", 1) == []
    assert store.account() == {"new": 6 + 1, "dropped.full": 2}
    store.close()


def test_newest_frames_are_claimed_first(path: Path) -> None:
    store = opened(path)
    store.commit([arrival(n) for n in range(5)])
    assert [job.key.seq for job in store.claim(3)] == [2, 3, 4]
    assert [job.key.seq for job in store.claim(3)] == [0, 1]
    assert store.claim(3) == []
    store.close()


def test_restart_takes_up_what_was_not_finished(path: Path) -> None:
    store = opened(path)
    store.commit([arrival(n) for n in range(4)])
    finish(store, *store.claim(1))
    store.claim(1)
    store.close()
    store = Store(path)
    assert store.requeue([WIRE]) == {"new": 3, "waiting": 0}
    assert [job.key.seq for job in store.claim(9)] == [0, 1, 2]
    store.close()


def test_a_frame_in_hand_at_two_losses_has_failed(path: Path) -> None:
    store = opened(path)
    store.commit([arrival(n) for n in range(3)])
    suspects = store.claim(9)
    assert store.strike(suspects, "crash", "signal 11") == []
    assert store.backlog == 3
    (suspect,) = store.claim(9)
    assert suspect.key.seq == 2, "suspects come one by one"
    assert store.strike([suspect], "timeout", "no answer in time") == [suspect.key]
    for seq in (1, 0):
        (innocent,) = store.claim(9)
        assert innocent.key.seq == seq
        finish(store, innocent)
    assert store.claim(9) == []
    assert store.backlog == 0
    assert store.account() == {"done": 2, "failed": 1}
    store.close()
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT seq, reason, detail FROM failures").fetchall()
    db.close()
    assert rows == [(2, "timeout", "no answer in time, 2 times with this frame in hand")]


def test_a_killed_gateway_says_nothing_against_its_frames(path: Path) -> None:
    for _ in range(9):
        store = opened(path)
        store.commit([arrival(n) for n in range(2)])
        assert len(store.claim(9)) == 2
        store.close()


def test_frames_of_an_unknown_bundle_wait_for_it(path: Path) -> None:
    store = opened(path)
    store.commit([arrival(0, bundle=0x1111), arrival(1)])
    assert [job.key.seq for job in store.claim(9)] == [1]
    store.close()
    store = Store(path)
    assert store.requeue([0x1111]) == {"new": 1, "waiting": 1}
    assert [job.key.seq for job in store.claim(9)] == [0]
    store.close()


def test_a_job_brings_the_parts_of_its_frame(path: Path) -> None:
    store = opened(path)
    store.commit([arrival(0), arrival(1), part(2, seq=0, index=1)])
    jobs = {job.key.seq: job for job in store.claim(9)}
    assert [unpack(raw).part for raw in jobs[0].raws] == [0, 1]
    assert len(jobs[1].raws) == 1
    finish(store, *jobs.values())
    assert store.job(FrameKey("cam", 1, 0)) == jobs[0]
    assert store.job(FrameKey("cam", 1, 2)) is None
    store.close()


def test_a_result_is_stored_once_for_each_model(path: Path) -> None:
    store = opened(path)
    store.commit([arrival(0)])
    (job,) = store.claim(1)
    assert finish(store, job) == [True]
    assert finish(store, job) == []
    other = result(job, model="1")
    assert [r.finding.model for r, _ in store.finish([Outcome(job, (other,))])] == ["1"]
    store.close()


def test_latest_never_goes_backwards(path: Path) -> None:
    store = opened(path)
    store.commit([arrival(n) for n in range(4)])
    jobs = store.claim(9)
    assert finish(store, jobs[2]) == [True]
    assert finish(store, jobs[1]) == [False]
    assert finish(store, jobs[3], jobs[0]) == [True, False]
    assert [(node, task) for node, task, _ in store.latest()] == [("cam", "classification")]
    assert '"seq":3' in store.latest()[0][2]
    store.close()


@pytest.mark.parametrize(
    ("current", "expected"),
    [(None, [True, True, False]), (5, [True, True, False]), (3, [True, False, True])],
)
def test_the_announced_boot_outranks_a_greater_number(
    path: Path, current: int | None, expected: list[bool]
) -> None:
    store = opened(path)
    if current is not None:
        births = [Birth("cam", boot, None, "{}") for boot in (3, 5) if boot != current]
        store.commit([], births)
        store.commit([], [Birth("cam", current, None, "{}")])
    store.commit([arrival(0, boot=3), arrival(0, boot=5), arrival(1, boot=3)])
    jobs = store.claim(9)
    assert [finish(store, job)[0] for job in jobs] == expected
    store.close()


def test_rejects_add_up(path: Path) -> None:
    store = opened(path)
    store.commit([], rejects={"check": 2})
    store.commit([], rejects={"check": 1, "short": 1})
    store.close()
    with sqlite3.connect(path) as db:
        assert dict(db.execute("SELECT * FROM rejects")) == {"check": 3, "short": 1}
    db.close()


def test_no_query_of_a_running_gateway_reads_the_whole_table(path: Path) -> None:
    queries: list[str] = []
    store = opened(path)
    store.database._db.set_trace_callback(queries.append)
    store.commit([arrival(n) for n in range(3)] + [part(3, seq=0, index=1)])
    store.requeue([WIRE])
    store.settled("cam", 1)
    finish(store, *store.claim(2))
    store.job(FrameKey("cam", 1, 0))
    store.database._db.set_trace_callback(None)
    with store.database.transaction() as db:
        for query in queries:
            if "packets" in query:
                plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
                assert not any(step in ("SCAN p", "SCAN packets") for step in plan), (query, plan)
                assert "kind = 1" not in query or any("packets_part" in each for each in plan), plan
    assert any("INDEXED BY packets_part" in query for query in queries)
    store.close()


def test_capture_time_needs_the_birth(path: Path) -> None:
    store = opened(path)
    store.commit([arrival(0)], [Birth("cam", 1, 1_000, "{}")])
    assert store.claim(1)[0].booted_unix_ns == 1_000
    store.close()
