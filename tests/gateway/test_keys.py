"""Nodes with a key: sealed packets in, nothing forged, nothing twice, signed answers out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tactic_codec.errors import ConfigError, PacketError
from tactic_codec.node_key import OVERHEAD_BYTES, NodeKey, Purpose
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_delivery import ack
from tactic_delivery.ranges import Range
from tactic_gateway.condition import Condition
from tactic_gateway.ingest import Ingest
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.reader import Message
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics

#: `TACTIC_FORGED=100000` is the full run; it takes some minutes.
FORGED = int(os.environ.get("TACTIC_FORGED", "2000"))
SECRET, OTHER = bytes(range(32)), bytes(32)

Take = Callable[..., list[tuple[str, bytes]]]


def key(node: str = "cam1", secret: bytes = SECRET) -> NodeKey:
    return NodeKey(secret, "lab", node)


def frame(pkt: int) -> Packet:
    return Packet(Kind.FRAME, 7, pkt, b"a frame of some bytes")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def take(store: Store, condition: Condition, metrics: Metrics, log: Log) -> Take:
    """Hands messages to a gateway that has a key for cam1; gives what it acknowledges."""
    sent: list[tuple[str, bytes]] = []
    ingest = Ingest(
        store,
        condition,
        Topics("tactic/v1", "lab"),
        Keys({"cam1": key()}),
        max_backlog=1000,
        publish=lambda topic, payload: sent.append((topic, payload)),
        wake=lambda: None,
        metrics=metrics,
        log=log,
    )

    def take(
        *payloads: bytes, node: str = "cam1", kind: str = "f", answer_bytes: int | None = None
    ) -> list[tuple[str, bytes]]:
        sent.clear()
        topic = f"tactic/v1/lab/{node}/{kind}"
        ingest.handle([Message(topic, each, 1, answer_bytes) for each in payloads])
        return list(sent)

    return take


def test_a_sealed_packet_is_stored_opened_and_acknowledged_with_a_tag(
    take: Take, store: Store
) -> None:
    ((topic, signed),) = take(pack(key().seal(frame(0))))
    assert topic == "tactic/v1/lab/cam1/ack"
    found = ack.unpack(key().open(Purpose.ACK, signed))
    assert (found.boot, found.cumulative) == (7, 1)
    with pytest.raises(PacketError, match="forged"):
        key().open(Purpose.COMMAND, signed)
    assert store.settled("cam1", 7)


@pytest.mark.parametrize("room_bytes", [10, 51, 60])
def test_an_answer_is_as_long_as_the_link_has_room_for(take: Take, room_bytes: int) -> None:
    gaps = [pack(key().seal(frame(pkt))) for pkt in (1, 3, 5, 7, 9)]
    assert len(take(*gaps)[0][1]) > 60
    ((_, signed),) = take(pack(key().seal(frame(11))), answer_bytes=room_bytes)
    found = ack.unpack(key().open(Purpose.ACK, signed))
    assert len(found.ranges) == max(0, room_bytes - len(ack.pack(ack.Ack(7, 0, 0))) - 16) // 8
    assert not found.ranges or found.ranges[0] == Range(11, 1), "the most recent ones stay"
    assert len(take(pack(key().seal(frame(13))))[0][1]) > 60, "it goes another way now"


def test_a_node_without_a_key_goes_on_as_before(take: Take, metrics: Metrics) -> None:
    ((_, plain),) = take(pack(frame(0)), node="cam2")
    assert ack.unpack(plain).cumulative == 1
    assert take(pack(key("cam2").seal(frame(1))), node="cam2") == []
    counts = metrics.snapshot()
    assert (counts["packets"], counts["rejected.sealed"]) == (1, 1)


def test_what_a_node_with_a_key_says_of_itself_needs_its_proof(
    take: Take, metrics: Metrics
) -> None:
    ledger = {"captured": 1, "stored": 1, "dropped": {}, "pending": 0}
    health = {"boot": 7, "outbox_packets": 0, "ledger": ledger}
    birth = {"boot": 7, "booted_unix_ns": 5, "clock": "synchronised"}
    for kind, purpose, body in (
        ("birth", Purpose.BIRTH, birth),
        ("health", Purpose.HEALTH, health),
    ):
        other = Purpose.HEALTH if purpose is Purpose.BIRTH else Purpose.BIRTH
        forged = [body, key("cam2").prove(purpose, body), key().prove(other, body)]
        take(*(json.dumps(each).encode() for each in forged), kind=kind)
        take(json.dumps(key().prove(purpose, body)).encode(), kind=kind)
    assert metrics.snapshot() == {"rejected.forged": 6}


def test_a_node_with_a_key_is_not_heard_without_it(take: Take, metrics: Metrics) -> None:
    assert take(pack(frame(0))) == []
    assert metrics.snapshot() == {"rejected.sealed": 1}


def forgery(good: list[bytes], rng: Random) -> bytes:
    """What somebody may send who heard everything and has no key of this node."""
    data = rng.choice(good)
    kind = rng.randrange(6)
    packet = unpack(data, sealed=True)
    if kind == 0:  # changed, with a check that is right
        payload = bytearray(packet.payload)
        payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        return pack(dataclasses.replace(packet, payload=bytes(payload)))
    if kind == 1:  # as another packet
        return pack(dataclasses.replace(packet, pkt=rng.randrange(1000, 1 << 32)))
    if kind == 2:  # of another boot
        return pack(dataclasses.replace(packet, boot=rng.randrange(8, 1 << 32)))
    if kind == 3:  # the payload of one, the header of another
        other = unpack(rng.choice([each for each in good if each != data]), sealed=True)
        return pack(dataclasses.replace(packet, payload=other.payload))
    if kind == 4:  # with a key of one's own, or that of another node
        node, secret = rng.choice((("cam1", OTHER), ("cam2", SECRET)))
        return pack(NodeKey(secret, "lab", node).seal(frame(rng.randrange(1 << 32))))
    return pack(frame(rng.randrange(1 << 32)))  # not sealed at all


def test_nothing_forged_is_accepted_and_nothing_twice(
    take: Take, store: Store, metrics: Metrics
) -> None:
    sealer, rng = key(), Random(3)
    good = [pack(sealer.seal(frame(n))) for n in range(20)]
    take(*good)
    settled = list(store.settled("cam1", 7))
    attacks = [rng.choice(good) if number % 2 else forgery(good, rng) for number in range(FORGED)]
    for at in range(0, len(attacks), 200):
        take(*attacks[at : at + 200])
    counts = metrics.snapshot()
    assert counts["packets"] == len(good)
    assert counts["duplicates"] == FORGED // 2
    assert counts["rejected.forged"] + counts["rejected.sealed"] == FORGED - FORGED // 2
    assert list(store.settled("cam1", 7)) == settled
    waiting = sum(store.requeue([0]).values())
    assert waiting == len(good)


def test_the_size_of_a_result_is_that_on_the_wire(take: Take, store: Store) -> None:
    sealed = pack(key().seal(frame(0)))
    take(sealed)
    stored = pack(key().unpack(sealed))
    assert len(stored) + OVERHEAD_BYTES == len(sealed)
    assert unpack(stored, sealed=True).payload == b"a frame of some bytes"


def test_keys_are_read_from_a_folder(tmp_path: Path) -> None:
    for name in ("cam1", "cam2"):
        (tmp_path / f"{name}.key").write_text(SECRET.hex())
        (tmp_path / f"{name}.key").chmod(0o600)
    keys = Keys.load(tmp_path, "lab")
    assert len(keys) == 2
    assert keys.of("cam3") is None
    assert keys.open("cam2", pack(key("cam2").seal(frame(0))))[0].pkt == 0
    assert len(Keys.load(None, "lab")) == 0
    (tmp_path / "cam2.key").chmod(0o644)
    with pytest.raises(ConfigError, match=r"cam2\.key: others may read"):
        Keys.load(tmp_path, "lab")
    with pytest.raises(ConfigError, match=r"no such folder; correct gateway\.keys"):
        Keys.load(tmp_path / "x", "lab")
