"""What is deleted when; and that it stays settled and counted."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet, pack
from tactic_gateway.ages import DAY_NS, Ages
from tactic_gateway.condition import Condition
from tactic_gateway.config import Retention as Settings
from tactic_gateway.database import Database
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.purge import CHUNK, give_back, used_bytes
from tactic_gateway.records import Arrival, Job, Outcome
from tactic_gateway.results import Finding, Result
from tactic_gateway.retention import Retention, purge
from tactic_gateway.store import Store

WIRE = 0xABCD
NOW_NS = 1000 * DAY_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "gateway.db")
    opened.requeue([WIRE])
    yield opened
    opened.close()


def put(store: Store, pkt: int, age_days: float, priority: int = 1, **fields: Any) -> None:
    values: dict[str, Any] = {"payload": bytes(400), "bundle": WIRE, "boot": 1, **fields}
    packet = Packet(kind=Kind.FRAME, pkt=pkt, priority=priority, **values)
    received_ns = NOW_NS - int(age_days * DAY_NS)
    store.commit([Arrival("cam", packet, pack(packet), received_ns)])


def decode(store: Store) -> None:
    while jobs := store.claim(256):
        store.finish([Outcome(job, (result(job),)) for job in jobs])


def result(job: Job) -> Result:
    return Result(job.key, Finding("classification", "head", "0", {"classes": []}), None, 20, 1.0)


def run(store: Store, now_ns: int | None = NOW_NS, **settings: Any) -> None:
    """Apply retention; the account is the same after every step."""
    before = total(store)
    for _ in purge(store.database, Settings(**settings), now_ns):
        assert total(store) == before


def total(store: Store) -> int:
    return sum(store.account().values())


def left(store: Store, table: str = "packets", number: str = "pkt") -> list[int]:
    with store.database.transaction() as db:
        rows = db.execute(f"SELECT {number} FROM {table} ORDER BY 1").fetchall()
    return [row[0] for row in rows]


def test_each_class_is_kept_for_its_days(store: Store) -> None:
    for pkt in range(40):
        put(store, pkt, age_days=40 - pkt, priority=pkt % 4)
    decode(store)
    run(store, packets_days=(2, 4, 8, 1000))
    kept = {priority: [n for n in left(store) if n % 4 == priority] for priority in range(4)}
    assert kept == {0: [], 1: [37], 2: [34, 38], 3: list(range(3, 40, 4))}
    assert store.settled("cam", 1) == [(0, 40)]
    assert store.account() == {"done": 13, "purged": 27}
    assert left(store, "results", "seq") == list(range(40)), "results have days of their own"
    run(store, results_days=(2, 4, 8, 1000))
    assert left(store, "results", "seq") == [n for n in range(40) if n in left(store) or n == 39]


def test_results_that_are_shown_stay(store: Store) -> None:
    for pkt in range(3):
        put(store, pkt, age_days=900)
    decode(store)
    run(store, packets_days=(1, 1, 1, 1), results_days=(1, 1, 1, 1))
    assert left(store) == []
    assert left(store, "results", "seq") == [2]
    assert '"seq":2' in store.latest()[0][2]


def test_frames_that_are_not_decoded_stay(store: Store) -> None:
    for pkt in range(4):
        put(store, pkt, age_days=900)
    put(store, 4, age_days=900, bundle=1)
    decoded = store.claim(1)
    assert [job.key.seq for job in decoded] == [3]
    store.finish([Outcome(job, (result(job),)) for job in decoded])
    in_hand = store.claim(1)
    run(store, packets_days=(1, 1, 1, 1), max_bytes=1 << 20)
    assert left(store) == [0, 1, 2]
    store.finish([Outcome(job, failure=("stream", "cut")) for job in in_hand])
    assert store.account() == {"new": 2, "failed": 1, "purged": 2}
    run(store, packets_days=(1, 1, 1, 1))
    assert store.account() == {"new": 2, "purged": 3}
    assert left(store, "failures", "seq") == []
    with store.database.transaction() as db:
        assert db.execute("SELECT purged_unseen FROM accounts").fetchall() == [(1,)]


def test_a_cap_in_bytes_takes_the_lowest_class_first_and_the_oldest_of_it(store: Store) -> None:
    arrivals = []
    for pkt in range(6 * CHUNK):
        values: dict[str, Any] = {"payload": bytes(1000), "bundle": WIRE}
        priority = 2 - pkt // (2 * CHUNK)
        packet = Packet(kind=Kind.FRAME, boot=1, pkt=pkt, priority=priority, **values)
        arrivals.append(Arrival("cam", packet, pack(packet), pkt))
    store.commit(arrivals)
    decode(store)
    with store.database.transaction() as db:
        full = used_bytes(db)
    cap = full * 11 // 20
    run(store, now_ns=None, max_bytes=cap)
    with store.database.transaction() as db:
        assert cap * 0.7 < used_bytes(db) <= cap
    kept = left(store)
    assert kept[: 2 * CHUNK] == list(range(2 * CHUNK)), "class 2 is the oldest and stays"
    ones = kept[2 * CHUNK :]
    assert 0 < len(ones) < 2 * CHUNK
    assert ones == list(range(4 * CHUNK - len(ones), 4 * CHUNK)), "the newest of class 1"
    shown = 6 * CHUNK - 1
    assert left(store, "results", "seq") == [*kept, shown]
    assert store.settled("cam", 1) == [(0, 6 * CHUNK)]


def test_the_cap_gives_up_where_nothing_may_go(store: Store) -> None:
    for pkt in range(2000):
        put(store, pkt, age_days=1, payload=bytes(1000))
    run(store, max_bytes=1 << 20)
    assert len(left(store)) == 2000


def test_a_report_goes_with_its_drops_and_stays_counted(store: Store) -> None:
    records = (DropRecord(Reason.FULL, 0, 3), DropRecord(Reason.DAMAGED, 5, 2))
    packet = Packet(kind=Kind.DROP, boot=1, pkt=9, payload=drop.pack(records))
    store.commit([Arrival("cam", packet, pack(packet), NOW_NS - 9 * DAY_NS, records)])
    run(store, packets_days=(1, 1, 1, 1))
    assert left(store) == []
    assert left(store, "drops", "first") == []
    assert store.settled("cam", 1) == [(0, 3), (5, 2), (9, 1)]
    assert store.account() == {"dropped.full": 3, "dropped.damaged": 2}


def test_what_was_deleted_is_still_a_duplicate_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "other.db")
    store.requeue([WIRE])
    for pkt in range(5):
        put(store, pkt, age_days=9)
    decode(store)
    run(store, packets_days=(1, 1, 1, 1))
    store.close()
    store = Store(tmp_path / "other.db")
    assert store.settled("cam", 1) == [(0, 5)]
    assert store.account() == {"purged": 5}
    store.close()


def test_room_goes_back_to_the_disk(store: Store) -> None:
    for pkt in range(1000):
        put(store, pkt, age_days=9, payload=bytes(2000))
    decode(store)
    with store.database.transaction() as db:
        before = db.execute("PRAGMA page_count").fetchone()[0]
    run(store, packets_days=(1, 1, 1, 1))
    while give_back(store.database, 64):
        pass
    with store.database.transaction() as db:
        assert db.execute("PRAGMA page_count").fetchone()[0] < before / 4
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


class Clocks:
    def __init__(self) -> None:
        self.wall_ns = NOW_NS
        self.steady_ns = 0

    def ages(self, database: Database, log: Log) -> Ages:
        return Ages(database, log, lambda: self.wall_ns, lambda: self.steady_ns)

    def wait(self, days: float) -> None:
        self.wall_ns += int(days * DAY_NS)
        self.steady_ns += int(days * DAY_NS)


@pytest.mark.parametrize("years", [10, -10])
def test_after_a_jump_of_the_clock_nothing_has_an_age_for_a_day(
    store: Store, log: Log, events: Callable[[], list[dict[str, Any]]], years: int
) -> None:
    clocks = Clocks()
    ages = clocks.ages(store.database, log)
    assert ages.now_ns() == NOW_NS
    clocks.wait(0.5)
    clocks.wall_ns += years * 365 * DAY_NS
    assert ages.now_ns() is None
    clocks.wait(0.9)
    assert ages.now_ns() is None
    again = clocks.ages(store.database, log)
    assert again.now_ns() is None, "a restart does not make it true"
    clocks.wait(0.2)
    assert ages.now_ns() == clocks.wall_ns
    assert [event["event"] for event in events()] == ["clock_jumped"] * 2


def test_a_clock_that_is_set_by_seconds_and_a_gateway_that_was_off(store: Store, log: Log) -> None:
    clocks = Clocks()
    ages = clocks.ages(store.database, log)
    ages.now_ns()
    clocks.wait(0.01)
    clocks.wall_ns += 20 * 1_000_000_000
    assert ages.now_ns() is not None
    clocks.wall_ns += 90 * DAY_NS
    assert clocks.ages(store.database, log).now_ns() is not None


def test_the_thread_deletes_beside_a_gateway_that_stores(
    store: Store, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tactic_gateway.retention._PASS_S", 0.01)
    lines = io.StringIO()
    metrics = Metrics()
    retention = Retention(
        store.database,
        Settings(packets_days=(1, 1, 1, 1)),
        condition,
        Ages(store.database, Log(lines), lambda: NOW_NS),
        metrics=metrics,
        log=Log(lines),
    )
    stop = threading.Event()
    thread = threading.Thread(target=retention.run, args=(stop,))
    thread.start()
    for pkt in range(300):
        put(store, pkt, age_days=2)
        if pkt % 10 == 0:
            decode(store)
    decode(store)
    for _ in range(500):
        if store.account() == {"purged": 300}:
            break
        stop.wait(0.02)
    stop.set()
    thread.join()
    assert store.account() == {"purged": 300}
    assert metrics.snapshot()["purged.packets"] == 300
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert sum(event["packets"] for event in logged if event["event"] == "purged") == 300
