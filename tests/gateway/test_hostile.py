"""Whatever arrives on any topic: counted, quick, and within bounds; the gateway goes on."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet, pack
from tactic_gateway import receivers as bounds
from tactic_gateway.condition import Condition
from tactic_gateway.ingest import MAX_BUNDLES_NAMED, Ingest
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.reader import MAX_JSON_BYTES, Message, RejectError, read
from tactic_gateway.receivers import MAX_RECEIVERS
from tactic_gateway.store import MAX_BIRTHS, Store
from tactic_gateway.topics import Topics

LIMIT_S = 0.1
TOPICS = Topics("tactic/v1", "lab")
TOP = (1 << 32) - 1


@pytest.fixture
def ingest(store: Store, condition: Condition, log: Log) -> Ingest:
    return Ingest(
        store,
        condition,
        TOPICS,
        Keys(),
        max_backlog=1000,
        publish=lambda *_: None,
        wake=lambda: None,
        metrics=Metrics(),
        log=log,
    )


def on(kind: str, payload: bytes, node: str = "cam1") -> Message:
    return Message(f"tactic/v1/lab/{node}/{kind}", payload, time.time_ns())


def report(pkt: int, *records: tuple[int, int], boot: int = 7) -> bytes:
    made = [DropRecord(Reason.FULL, first, count) for first, count in records]
    return pack(Packet(Kind.DROP, boot, pkt, drop.pack(made)))


def nasty() -> Iterator[tuple[str, Message]]:
    yield "a drop of everything", on("f", report(TOP, (0, TOP)))
    yield "records without end", on("f", pack(Packet(Kind.DROP, 7, 9, b"\x01\x00\x01" * 300_000)))
    yield "a long packet", on("f", bytes(1 << 24))
    yield "the highest numbers", on("f", pack(Packet(Kind.FRAME, TOP, TOP, b"x")))
    for name, text in {
        "deep": b"[" * MAX_JSON_BYTES,
        "deep objects": b'{"a":' * (MAX_JSON_BYTES // 5),
        "a huge number": b'{"boot":' + b"9" * (MAX_JSON_BYTES - 20) + b"}",
        "a huge exponent": b'{"boot":1e999999999}',
        "many keys": json.dumps({str(n): n for n in range(5000)}).encode()[:MAX_JSON_BYTES],
        "one key often": b'{"boot":1' + b',"boot":1' * 7000 + b"}",
        "escapes": b'{"boot":1,"x":"' + b"\\ud800" * 10_000 + b'"}',
        "nul": b'{"boot":1,"x":"\\u0000"}',
        "utf-16": '{"boot":1}'.encode("utf-16"),
    }.items():
        yield f"birth: {name}", on("birth", text)


@pytest.mark.parametrize("message", [pytest.param(m, id=name) for name, m in nasty()])
def test_nothing_takes_long(ingest: Ingest, store: Store, message: Message) -> None:
    ingest.handle([on("f", pack(Packet(Kind.FRAME, 7, 0, b"x")), node="other")])
    begun_s = time.thread_time()
    ingest.handle([message])
    taken_s = time.thread_time() - begun_s
    assert taken_s < LIMIT_S
    ingest.handle([on("f", pack(Packet(Kind.FRAME, 7, 1, b"x")), node="other")])
    assert store.settled("other", 7) == [(0, 2)]


def test_the_longest_report_is_bounded_work(ingest: Ingest, store: Store) -> None:
    """It is valid, and as much work as any packet can be: 0.2 s of an idle core."""
    records = [(4 * n, 1) for n in range(drop.MAX_RECORDS)]
    begun_s = time.thread_time()
    ingest.handle([on("f", report(TOP, *records))])
    assert time.thread_time() - begun_s < 20 * LIMIT_S
    assert store.settled("cam1", 7) == [*records, (TOP, 1)]


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["f", "birth", "health", "ack", "state", "x"]),
    payload=st.binary(max_size=200)
    | st.binary(max_size=60).map(lambda tail: b"\x40" + tail)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode()),
    node=st.sampled_from(["cam1", "_gateway", "CAM", "", "a" * 33, "a/b", "\x00", "+"]),
)
def test_any_bytes_are_read_or_rejected(kind: str, payload: bytes, node: str) -> None:
    try:
        read(Message(f"tactic/v1/lab/{node}/{kind}", payload, 0), TOPICS, Keys())
    except RejectError as fault:
        assert str(fault).isidentifier()


def test_a_flood_of_boots_and_nodes_is_held_in_bounds(
    ingest: Ingest, store: Store, lines: io.StringIO
) -> None:
    rng = random.Random(1)
    for round_ in range(12):
        ingest.handle(
            [
                on("f", pack(Packet(Kind.FRAME, rng.getrandbits(32), 5, b"", bundle=n)), f"n{n}")
                for n in range(round_ * 256, round_ * 256 + 256)
            ]
        )
    assert len(ingest._receivers._receivers) <= MAX_RECEIVERS
    assert lines.getvalue().count("bundle_unknown") == MAX_BUNDLES_NAMED
    ingest.handle([on("f", pack(Packet(Kind.FRAME, 7, 6, b"")))])
    assert store.settled("cam1", 7) == [(6, 1)]


def test_a_flood_of_gaps_is_held_in_bounds(
    ingest: Ingest, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_RANGES", 300)
    monkeypatch.setattr(bounds, "MAX_RANGES_OF_BOOT", 200)
    for boot in range(4):
        numbers = range(2, 402, 2)
        ingest.handle([on("f", pack(Packet(Kind.FRAME, boot, n, b""))) for n in numbers])
    held = ingest._receivers._receivers.values()
    assert sum(receiver.ranges for receiver in held) <= 300
    ingest.handle([on("f", pack(Packet(Kind.FRAME, 3, 1000, b"")))])
    assert ingest._metrics.snapshot()["rejected.gaps"] == 1
    assert len(store.settled("cam1", 0)) == 200
    ingest.handle([on("f", pack(Packet(Kind.FRAME, 0, 2, b"")))])
    assert ingest._metrics.snapshot()["duplicates"] == 1, "a boot that was forgotten is read again"


def test_births_without_end_do_not_fill_the_disk(ingest: Ingest, store: Store) -> None:
    for boot in range(1, 2500, 250):
        bodies = [json.dumps({"boot": n}).encode() for n in range(boot, boot + 250)]
        ingest.handle([on("birth", body) for body in bodies])
    with store.database.transaction() as db:
        (kept,) = db.execute("SELECT count(*), min(boot), max(boot) FROM boots").fetchall()
    assert kept == (MAX_BIRTHS, 2500 - MAX_BIRTHS + 1, 2500)
