"""Check, commit, acknowledge, in that order; and nothing on the wire ends the gateway."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet, pack
from tactic_delivery import ack
from tactic_delivery.ack import Ack
from tactic_delivery.ranges import Range, RangeSet
from tactic_gateway.errors import StoreError
from tactic_gateway.ingest import QUEUE_MESSAGES, Ingest
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.reader import Message
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics


@dataclass
class Bench:
    """An ingest whose acknowledgements are written down."""

    ingest: Ingest
    metrics: Metrics
    sent: list[tuple[str, Ack]] = field(default_factory=list)
    woken: int = 0

    def take(self, *messages: Message) -> list[tuple[str, Ack]]:
        before = len(self.sent)
        stop = threading.Event()
        stop.set()
        self.ingest.handle(list(messages), stop)
        return self.sent[before:]


def bench_on(store: Store, log: Log) -> Bench:
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
    ingest = Ingest(store, topics, Keys(), publish=publish, wake=wake, metrics=metrics, log=log)
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
    assert sent[0][1].window == QUEUE_MESSAGES
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


def test_nothing_is_acknowledged_when_the_commit_fails(
    bench: Bench,
    store: Store,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    events: Callable[[], list[dict[str, Any]]],
) -> None:
    def full(*_: object) -> None:
        raise StoreError("gateway.db: disk full; check the disk")

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", full)
        assert bench.take(wire.frame(0)) == []
    assert events()[-1]["event"] == "store_failed"
    ((_, later),) = bench.take(wire.frame(1))
    assert later.cumulative == 0
    assert [tuple(r) for r in later.ranges] == [(1, 1)]


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
        b"[" * 100_000,
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
