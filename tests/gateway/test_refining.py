"""Refinement at the gateway: who is asked, what a part changes, and what it never takes away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tactic_codec.bundle import Bundle
from tactic_codec.node_key import NodeKey, Purpose
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_delivery.command import unpack_command
from tactic_gateway.commands import Commands
from tactic_gateway.condition import Condition
from tactic_gateway.config import Refining
from tactic_gateway.config import Workers as Settings
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.process import Worker
from tactic_gateway.records import Arrival, Birth
from tactic_gateway.refining import Refiner
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics
from tactic_gateway.workers import Workers

MakePacket = Callable[..., bytes]
S = 1_000_000_000
KEY = NodeKey(bytes(range(32)), "lab", "cam1")


@dataclass
class Bench:
    """Store, workers and refiner, with a clock that is set."""

    store: Store
    worker: Worker
    metrics: Metrics = field(default_factory=Metrics)
    results: list[dict[str, Any]] = field(default_factory=list)
    last: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    now_ns: int = 0
    workers: Workers = field(init=False)
    refiner: Refiner = field(init=False)

    def put(self, *raws: bytes) -> None:
        self.store.commit([Arrival("cam1", unpack(raw), raw, 1_000_000) for raw in raws])

    def work(self) -> list[dict[str, Any]]:
        before = len(self.results)
        while jobs := self.store.claim(8):
            self.workers.handle(jobs, self.worker, threading.Event())
        return self.results[before:]

    def publish(self, topic: str, body: str, retain: bool) -> None:
        (self.last if retain else self.results).append(json.loads(body))

    def tend(self, now_s: float) -> list[dict[str, Any]]:
        before = len(self.asked)
        self.now_ns = int(now_s * S)
        self.refiner.tend()
        return [json.loads(body) for _, body in self.asked[before:]]


def build(
    store: Store,
    condition: Condition,
    local: Worker,
    log: Log,
    keys: Keys,
) -> Bench:
    made = Bench(store, local)
    topics = Topics("tactic/v1", "lab")
    made.refiner = Refiner(
        Refining(threshold=0.9),
        store,
        Commands(keys, topics, lambda *message: made.asked.append(message), lambda: made.now_ns),
        made.metrics,
        monotonic_ns=lambda: made.now_ns,
    )
    made.workers = Workers(
        store,
        condition,
        Settings(batch_wait_ms=0.0),
        topics=topics,
        publish=made.publish,
        metrics=made.metrics,
        log=log,
        note=made.refiner.note,
        now_ns=lambda: 9_000_000,
    )
    return made


@pytest.fixture
def bench(store: Store, condition: Condition, local: Worker, log: Log) -> Bench:
    return build(store, condition, local, log, Keys({}))


def halves(whole: bytes, pkt: int) -> tuple[bytes, bytes]:
    """A frame that was cut to a tenth of its stream, and the part that completes it."""
    packet = unpack(whole)
    at = len(packet.payload) // 20 * 2
    first = replace(packet, payload=packet.payload[:at])
    part = replace(
        packet,
        kind=Kind.PART,
        pkt=pkt,
        payload=packet.payload[at:],
        captured=packet.pkt,
        geometry=1,
        priority=0,
    )
    return pack(first), pack(part)


def test_an_unsure_frame_is_asked_for_and_decoded_again(
    bench: Bench, make_frame: MakePacket
) -> None:
    whole = make_frame(0, value=20)
    first, part = halves(whole, pkt=1)
    bench.put(first)
    (unsure,) = bench.work()
    assert unsure["parts"] == 0 and unsure["classes"][0]["label"] == "middle"
    assert bench.tend(0.5) == []
    (asked,) = bench.tend(1.0)
    assert bench.asked[0][0] == "tactic/v1/lab/cam1/cmd"
    assert (asked["kind"], asked["boot"], asked["arguments"]) == ("refine", 7, {"frames": [0]})
    bench.put(part)
    assert bench.store.backlog == 1
    (refined,) = bench.work()
    assert refined["parts"] == 1 and refined["classes"][0]["label"] == "bright"
    assert refined["wire_bytes"] == len(first) + len(part)
    assert [each["parts"] for each in bench.last] == [0, 1]
    assert bench.store.backlog == 0
    assert bench.tend(200.0) == []
    with bench.store.database.transaction() as db:
        rows = db.execute("SELECT parts FROM results ORDER BY parts").fetchall()
    assert rows == [(0,), (1,)]
    assert json.loads(bench.store.latest()[0][2]) == refined


def test_sure_and_whole_frames_are_left_alone(bench: Bench, make_frame: MakePacket) -> None:
    bench.put(make_frame(0, value=1), *halves(make_frame(1, value=20), pkt=9)[:1])
    bench.work()
    (asked,) = bench.tend(5.0)
    assert asked["arguments"] == {"frames": [1]}


def test_a_part_that_never_comes_is_given_up(bench: Bench, make_frame: MakePacket) -> None:
    bench.put(halves(make_frame(0, value=20), pkt=1)[0])
    (first,) = bench.work()
    asked = [second for second in range(200) if bench.tend(second)]
    assert asked == [1, 21, 41]
    assert bench.metrics.snapshot()["refine.given_up"] == 1
    assert json.loads(bench.store.latest()[0][2]) == first


def test_a_run_that_has_ended_is_not_asked(bench: Bench, make_frame: MakePacket) -> None:
    bench.put(halves(make_frame(0, value=20), pkt=1)[0])
    bench.store.commit([], [Birth("cam1", 8, None, "{}")])
    bench.work()
    assert bench.tend(5.0) == []


def test_commands_are_signed(
    store: Store, condition: Condition, local: Worker, log: Log, make_frame: MakePacket
) -> None:
    bench = build(store, condition, local, log, Keys({"cam1": KEY}))
    bench.put(halves(make_frame(0, value=20), pkt=1)[0])
    bench.work()
    bench.now_ns = 5 * S
    bench.refiner.tend()
    asked = unpack_command(KEY.open(Purpose.COMMAND, bench.asked[0][1]))
    assert asked.arguments == {"frames": [0]}
    assert asked.expires_ns == bench.now_ns + 60 * S


def test_a_part_that_comes_while_its_frame_is_in_hand_is_not_forgotten(
    bench: Bench, make_frame: MakePacket
) -> None:
    first, part = halves(make_frame(0, value=20), pkt=1)
    bench.put(first)
    jobs = bench.store.claim(8)
    bench.put(part)
    bench.workers.handle(jobs, bench.worker, threading.Event())
    assert bench.store.backlog == 1
    (refined,) = bench.work()
    assert (refined["parts"], bench.store.backlog) == (1, 0)


def test_a_part_that_came_first_waits_for_its_frame(bench: Bench, make_frame: MakePacket) -> None:
    first, part = halves(make_frame(0, value=20), pkt=1)
    bench.put(part)
    assert bench.work() == []
    bench.put(first)
    (result,) = bench.work()
    assert result["parts"] == 1
    assert bench.tend(5.0) == []


def test_a_part_that_does_not_decode_leaves_the_first_answer(
    bench: Bench, make_frame: MakePacket, bundle: Bundle
) -> None:
    bench.put(halves(make_frame(0, value=20), pkt=1)[0])
    (first,) = bench.work()
    bad = Packet(Kind.PART, 7, 1, b"\xff" * 4001, bundle.codec.wire_id, 0, geometry=1, layers=2)
    bench.put(pack(bad))
    assert bench.work() == []
    assert json.loads(bench.store.latest()[0][2]) == first
    assert bench.store.account()["done"] == 1
    assert "failed" not in bench.store.account()


def test_a_node_that_repeats_parts_without_end_does_not_keep_the_gateway_busy(
    bench: Bench, make_frame: MakePacket
) -> None:
    first, part = halves(make_frame(0, value=20), pkt=1)
    bench.put(first)
    bench.work()
    decoded = 0
    for pkt in range(1, 40):
        again = unpack(part)
        bench.put(pack(Packet(Kind.PART, 7, pkt, again.payload, again.bundle, 0, 0, 0, 1, 2)))
        decoded += len(bench.work())
    assert decoded <= 7
    assert bench.store.backlog == 0
