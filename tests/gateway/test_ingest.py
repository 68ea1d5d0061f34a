"""Check, commit, acknowledge, in that order; and nothing on the wire ends the gateway."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet, pack
from tactic_delivery import ack
from tactic_delivery.ack import Ack
from tactic_delivery.ranges import Range, RangeSet
from tactic_gateway.condition import Condition, State
from tactic_gateway.errors import StoreError
from tactic_gateway.ingest import Ingest
from tactic_gateway.inlet import QUEUE_BYTES, QUEUE_MESSAGES
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.reader import Message
from tactic_gateway.records import Outcome
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics
from tactic_gateway.window import MOST_PACKETS, window

Events = Callable[[], list[dict[str, Any]]]


@dataclass
class Bench:
    """An ingest whose acknowledgements are written down."""

    ingest: Ingest
    metrics: Metrics
    sent: list[tuple[str, Ack]] = field(default_factory=list)
    woken: int = 0

    def take(self, *messages: Message) -> list[tuple[str, Ack]]:
        before = len(self.sent)
        self.ingest.handle(list(messages))
        return self.sent[before:]


class Disk:
    """A disk whose room and clock a test sets."""

    def __init__(self) -> None:
        self.free_bytes = 1 << 40
        self.now_s = 1000.0

    def condition(self, store: Store, log: Log) -> Condition:
        return Condition(
            store.database.path,
            1 << 20,
            Metrics(),
            log,
            free_bytes=lambda _: self.free_bytes,
            clock_s=lambda: self.now_s,
        )


def bench_on(
    store: Store, log: Log, condition: Condition | None = None, max_backlog: int = 1000
) -> Bench:
    metrics = Metrics()

    def publish(topic: str, payload: bytes) -> None:
        decoded = ack.unpack(payload)
        node = topic.split("/")[-2]
        # What is acknowledged is in the database at this moment.
        settled = RangeSet(store.settled(node, decoded.boot))
        named = [Range(0, decoded.cumulative), *decoded.ranges]
        assert not any(settled.missing(*each) for each in named if each[1])
        made.sent.append((topic, decoded))

    def wake() -> None:
        made.woken += 1

    topics = Topics("tactic/v1", "lab")
    ingest = Ingest(
        store,
        condition or Disk().condition(store, log),
        topics,
        Keys(),
        max_backlog=max_backlog,
        publish=publish,
        wake=wake,
        metrics=metrics,
        log=log,
    )
    made = Bench(ingest, metrics)
    return made


@dataclass
class Wire:
    """What nodes send."""

    packet: Callable[..., bytes]

    def frame(self, pkt: int, node: str = "cam1", **fields: Any) -> Message:
        return self.raw(self.packet(pkt, **fields), node)

    def raw(self, payload: bytes, node: str = "cam1", kind: str = "f") -> Message:
        return Message(f"tactic/v1/lab/{node}/{kind}", payload, 1_000)


@pytest.fixture
def wire(make_frame: Callable[..., bytes]) -> Wire:
    return Wire(make_frame)


@pytest.fixture
def bench(store: Store, log: Log) -> Bench:
    return bench_on(store, log)


def test_a_batch_is_acknowledged_once_per_boot(bench: Bench, wire: Wire) -> None:
    sent = bench.take(*(wire.frame(n) for n in range(3)), wire.frame(0, node="cam2"))
    assert [(topic, a.cumulative) for topic, a in sent] == [
        ("tactic/v1/lab/cam1/ack", 3),
        ("tactic/v1/lab/cam2/ack", 1),
    ]
    assert sent[0][1].window == MOST_PACKETS
    assert bench.woken == 1


def test_a_duplicate_is_acknowledged_and_not_stored_again(
    bench: Bench, wire: Wire, store: Store
) -> None:
    bench.take(wire.frame(0))
    sent = bench.take(wire.frame(0))
    assert sent[0][1].cumulative == 1
    assert bench.metrics.snapshot() == {"duplicates": 1, "packets": 1}
    assert len(store.claim(9)) == 1
    assert bench.woken == 1


def test_acknowledgements_go_on_after_a_restart(store: Store, log: Log, wire: Wire) -> None:
    bench_on(store, log).take(*(wire.frame(n) for n in (0, 1, 5)))
    ((_, again),) = bench_on(store, log).take(wire.frame(2))
    assert again.cumulative == 3
    assert [tuple(r) for r in again.ranges] == [(5, 1)]


def full(*_: object) -> None:
    raise StoreError("gateway.db: disk full; check the disk")


def names(events: Events) -> list[str]:
    return [event["event"] for event in events() if event["event"].startswith("store_")]


def test_nothing_is_acknowledged_when_the_commit_fails(
    store: Store, log: Log, wire: Wire, monkeypatch: pytest.MonkeyPatch, events: Events
) -> None:
    disk = Disk()
    condition = disk.condition(store, log)
    bench = bench_on(store, log, condition)
    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", full)
        for pkt in range(3):
            ((_, told),) = bench.take(wire.frame(pkt))
            assert (told.cumulative, told.ranges, told.window) == (0, (), 0)
        patch.setattr(store, "attempt", full)
        for _ in range(5):
            disk.now_s += 2.0
            condition.look(store.attempt)
    assert condition.state is State.FAILING
    assert names(events) == ["store_failing"], "one line for one change of state"
    assert "disk full" in events()[-1]["error"]
    disk.now_s += 10.0
    condition.look(store.attempt)
    bench.ingest.tend()
    assert names(events) == ["store_failing", "store_good"]
    assert bench.sent[-1][1].window > 0, "who was told to wait is told to go on"
    ((_, later),) = bench.take(wire.frame(1))
    assert later.cumulative == 0
    assert [tuple(r) for r in later.ranges] == [(1, 1)]


def test_with_too_little_room_nothing_is_stored_and_nodes_wait(
    store: Store, log: Log, wire: Wire, events: Events
) -> None:
    disk = Disk()
    condition = disk.condition(store, log)
    bench = bench_on(store, log, condition)
    disk.free_bytes = (1 << 20) - 1
    for _ in range(3):
        condition.look(store.attempt)
        ((_, told),) = bench.take(wire.frame(0), wire.raw(b'{"boot": 9}', kind="birth"))
        assert (told.cumulative, told.window) == (0, 0)
    disk.free_bytes = (1 << 20) + 1
    condition.look(store.attempt)
    assert condition.state is State.LOW, "a few bytes do not open and close the door"
    disk.free_bytes = 2 << 20
    condition.look(store.attempt)
    assert names(events) == ["store_low", "store_good"]
    bench.ingest.tend()
    ((_, kept),) = bench.take(wire.frame(0))
    assert (kept.cumulative, kept.window) == (1, MOST_PACKETS)
    with store.database.transaction() as db:
        assert db.execute("SELECT boot FROM boots").fetchall() == [(9,)], "a birth comes only once"


def test_the_pause_grows_where_a_store_fails_again_and_again(store: Store, log: Log) -> None:
    disk = Disk()
    condition = disk.condition(store, log)
    waits = []
    for _ in range(6):
        condition.failed(StoreError("gateway.db: no"))
        failed_s = disk.now_s
        while not condition.good:
            disk.now_s += 0.5
            condition.look(store.attempt)
        waits.append(disk.now_s - failed_s)
    assert waits == [1, 2, 4, 8, 8, 8]
    disk.now_s += 100
    condition.failed(StoreError("gateway.db: no"))
    disk.now_s += 1.0
    condition.look(store.attempt)
    assert condition.good


def test_another_store_in_the_place_of_ours_is_not_written_to(
    store: Store, log: Log, tmp_path: Path
) -> None:
    path = store.database.path
    Store(tmp_path / "other.db").close()
    with store.database.transaction() as db:
        db.execute("PRAGMA user_version")
    ours = [file for file in tmp_path.iterdir() if file.name.startswith("gateway.db")]
    (tmp_path / "away").mkdir()
    for file in ours:
        file.rename(tmp_path / "away" / file.name)
    with pytest.raises(StoreError, match="unable to open"):
        store.attempt()
    (tmp_path / "other.db").rename(path)
    with pytest.raises(StoreError, match="another store is in its place"):
        store.attempt()
    with pytest.raises(StoreError):
        store.settled("cam1", 7)
    path.unlink()
    for file in (tmp_path / "away").iterdir():
        file.rename(tmp_path / file.name)
    store.attempt()
    assert store.settled("cam1", 7) == []


@pytest.mark.parametrize(
    ("room", "nodes", "backlog", "expected"),
    [
        (1024, 1, 0, 128),
        (1024, 1, 500, 128),
        (1024, 1, 750, 64),
        (1024, 1, 999, 1),
        (1024, 1, 1000, 0),
        (1024, 1, 2000, 0),
        (1024, 64, 0, 16),
        (10, 64, 0, 1),
        (0, 1, 0, 1),
    ],
)
def test_the_window_shrinks(room: int, nodes: int, backlog: int, expected: int) -> None:
    assert window(room, nodes, backlog, max_backlog=1000) == expected


def test_nodes_wait_for_the_backlog_and_go_on_when_it_is_decoded(
    store: Store, log: Log, wire: Wire
) -> None:
    bench = bench_on(store, log, max_backlog=100)
    windows = [bench.take(wire.frame(pkt))[0][1].window for pkt in range(101)]
    assert windows[:50] == [MOST_PACKETS] * 50
    assert windows[50:] == sorted(windows[50:], reverse=True)
    assert windows[98:] == [2, 0, 0]
    bench.ingest.tend()
    assert bench.sent[-1][1].window == 0
    store.finish([Outcome(job) for job in store.claim(80)])
    bench.ingest.tend()
    assert bench.sent[-1][1].window == MOST_PACKETS
    assert bench.sent[-1][1].cumulative == 101


def test_dropped_packets_count_as_settled(bench: Bench, wire: Wire, store: Store) -> None:
    records = (DropRecord(Reason.FULL, 1, 3),)
    report = pack(Packet(kind=Kind.DROP, boot=7, pkt=4, payload=drop.pack(records)))
    ((_, sent),) = bench.take(wire.frame(0), wire.frame(2), wire.raw(report))
    assert sent.cumulative == 5
    assert store.account() == {"new": 2, "dropped.full": 2}
    bench.take(wire.frame(1))
    assert bench.metrics.snapshot()["duplicates"] == 1


def damaged(packet: bytes) -> bytes:
    return packet[:-1] + bytes([packet[-1] ^ 1])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: b"", "short"),
        (lambda p: p[:19], "short"),
        (damaged, "check"),
        (lambda p: b"\xc0" + p[1:], "version"),
        (lambda p: p + bytes(1 << 20), "long"),
        (lambda p: pack(Packet(kind=Kind.DROP, boot=7, pkt=4, payload=b"\xff")), "drop"),
    ],
)
def test_bad_bytes_are_counted_by_reason(
    bench: Bench,
    wire: Wire,
    spoil: Callable[[bytes], bytes],
    reason: str,
) -> None:
    sent = bench.take(wire.raw(spoil(wire.packet(0))), wire.frame(1))
    assert [a.cumulative for _, a in sent] == [0]
    assert bench.metrics.snapshot() == {"packets": 1, f"rejected.{reason}": 1}


@pytest.mark.parametrize(
    "topic",
    [
        "tactic/v1/lab/_gateway/f",
        "tactic/v1/lab/Cam/f",
        "tactic/v1/lab//f",
        f"tactic/v1/lab/{'x' * 33}/f",
        "tactic/v1/lab/cam1/g",
        "tactic/v1/lab/cam1",
        "other/v1/lab/cam1/f",
    ],
)
def test_topics_that_are_not_ours_are_rejected(bench: Bench, wire: Wire, topic: str) -> None:
    assert bench.take(Message(topic, wire.packet(0), 0)) == []
    assert bench.metrics.snapshot() == {"rejected.topic": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"{",
        b"[]",
        b"7",
        b"{}",
        b'{"boot":-1}',
        b'{"boot":true}',
        b'{"boot":"1"}',
        b'{"boot":4294967296}',
        b"[" * 60_000,
        b'{"boot":' + b"9" * 60_000 + b"}",
        b'{"boot":1e400}',
        b'{"boot":NaN}',
        b'{"boot":1,"x":"\xed\xa0\x80"}',
        '{"boot":1}'.encode("utf-16"),
        '{"boot":1}'.encode("utf-32-le"),
        b'{"boot":1,"x":"' + bytes([65]) * 70_000 + b'"}',
    ],
)
def test_bad_births_are_rejected(bench: Bench, wire: Wire, body: bytes) -> None:
    bench.take(wire.raw(body, kind="birth"))
    assert bench.metrics.snapshot() == {"rejected.birth": 1}


@pytest.mark.parametrize(
    ("clock", "known"), [("synchronised", 5_000), ("unknown", None), (None, None)]
)
def test_boot_time_is_believed_only_of_a_synchronised_clock(
    bench: Bench,
    store: Store,
    wire: Wire,
    clock: str | None,
    known: int | None,
) -> None:
    body = json.dumps({"boot": 7, "booted_unix_ns": 5_000, "clock": clock}).encode()
    bench.take(wire.raw(body, kind="birth"), wire.frame(0))
    assert store.claim(1)[0].booted_unix_ns == known


def test_a_packet_of_an_unknown_bundle_is_stored_and_acknowledged(
    bench: Bench, store: Store, wire: Wire, events: Callable[[], list[dict[str, Any]]]
) -> None:
    ((_, sent),) = bench.take(wire.frame(0, bundle=1))
    bench.take(wire.frame(1, bundle=1))
    assert sent.cumulative == 1
    assert [event["bundle"] for event in events()] == ["0001"]
    assert bench.metrics.snapshot() == {"packets": 2, "waiting": 2}
    assert store.claim(9) == []
    assert store.requeue([1]) == {"new": 2, "waiting": 0}


def test_a_full_queue_lets_messages_go(bench: Bench, wire: Wire) -> None:
    for pkt in range(QUEUE_MESSAGES + 3):
        bench.ingest.offer(wire.frame(pkt))
    assert bench.metrics.snapshot() == {"overflow": 3}
    stop = threading.Event()
    stop.set()
    bench.ingest.run(stop)
    assert bench.metrics.snapshot()["packets"] == QUEUE_MESSAGES
    assert max(a.cumulative for _, a in bench.sent) == QUEUE_MESSAGES


def test_messages_that_wait_are_capped_in_bytes(bench: Bench, wire: Wire) -> None:
    for _ in range(80):
        bench.ingest.offer(wire.raw(bytes(5 << 20)))
    overflow = bench.metrics.snapshot()["overflow"]
    assert overflow == 80 - QUEUE_BYTES // (1 << 20)
    stop = threading.Event()
    stop.set()
    bench.ingest.run(stop)
    assert bench.metrics.snapshot()["rejected.long"] == 80 - overflow
    bench.ingest.offer(wire.frame(0))
    assert bench.metrics.snapshot()["overflow"] == overflow
