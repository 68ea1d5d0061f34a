"""What was left off a frame: kept for a while, given once, and then the frame is whole."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.drop import DropRecord, Reason, unpack
from tactic_codec.packet import HEADER_BYTES, Kind, Packet
from tactic_delivery.entry import Entry
from tactic_delivery.ranges import Range
from tactic_device.memory import Memory
from tactic_device.outbox import Outbox
from tactic_device.ring import Ring

if TYPE_CHECKING:
    from device.conftest import Medium

MOST = 1 << 20


def frame(payload: bytes = bytes(range(100)), **fields: Any) -> Packet:
    return Packet(Kind.FRAME, 0, 0, payload, bundle=9, level=2, layers=2, priority=2, **fields)


def test_what_was_cut_follows_in_a_part() -> None:
    ring = Ring(MOST)
    cut = ring.cut(frame(captured=77, geometry=5), 60)
    assert (cut.payload, cut.captured, cut.geometry) == (bytes(range(40)), 77, 5)
    ring.keep(12)
    part = ring.take(12)
    assert part is not None
    assert part.payload == bytes(range(40, 100))
    assert (part.kind, part.seq, part.part, part.priority) == (Kind.PART, 12, 1, 0)
    assert (part.bundle, part.level, part.layers) == (9, 2, 2)


def test_it_is_given_once() -> None:
    ring = Ring(MOST)
    ring.cut(frame(), 60)
    ring.keep(12)
    assert ring.take(12) is not None
    assert ring.take(12) is None


def test_whole_frames_and_unknown_ones_are_gone() -> None:
    ring = Ring(MOST)
    assert ring.cut(frame(), 200) == frame()
    ring.keep(1)
    for seq in (1, 2):
        with pytest.raises(KeyError):
            ring.take(seq)


@pytest.mark.parametrize("most_bytes", [0, 500, 5000])
def test_it_is_bounded_and_the_oldest_give_way(most_bytes: int) -> None:
    ring = Ring(most_bytes)
    for seq in range(100):
        ring.cut(frame(), 60)
        ring.keep(seq)
        assert ring.size_bytes <= most_bytes
    there = []
    for seq in range(100):
        try:
            ring.take(seq)
            there.append(seq)
        except KeyError:
            continue
    assert there == list(range(100 - most_bytes // 316, 100))


def test_frame_and_part_decode_as_the_whole_stream(bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    levels, channels = bundle.codec.levels, bundle.codec.channels
    symbols: NDArray[np.int8] = rng.integers(-60, 60, (channels, 4, 6)).astype(np.int8)
    model = bundle.models[0]
    whole = stream.encode(nest.split(symbols, nest.layers(0, levels)), model)
    for budget_bytes in range(HEADER_BYTES + 4, HEADER_BYTES + len(whole), 7):
        ring = Ring(MOST)
        first = ring.cut(frame(whole), budget_bytes)
        ring.keep(3)
        part = ring.take(3)
        assert part is not None and first.payload + part.payload == whole


def outbox(folder: Path) -> Outbox:
    return Outbox(folder, Random(1), 8 << 20, "batch")


def put_some(made: Outbox) -> None:
    for seq in range(3):
        made.put(frame(), 0)
        part = Packet(Kind.PART, 0, 0, b"rest", captured=2 * seq, geometry=1, priority=0)
        made.put(part, 0)


def test_a_part_is_no_frame_to_the_ledger(tmp_path: Path) -> None:
    made = outbox(tmp_path / "outbox")
    put_some(made)
    assert (made.pending.ledger.captured, len(made.pending.entries)) == (3, 6)
    made.settle(made.boot, Range(0, 6))
    assert (made.pending.ledger.stored, made.pending.ledger.pending) == (3, 0)
    assert not made.pending.parts
    made.close()


def test_a_part_that_is_given_up_is_no_frame_that_is_missed(tmp_path: Path) -> None:
    made = outbox(tmp_path / "outbox")
    put_some(made)
    entries = list(made.pending.entries.values())
    (decision,) = made.pending.plan_drops(entries[:2], Reason.EXPIRED)
    assert unpack(decision.packet.payload) == (
        DropRecord(Reason.EXPIRED, 0, 1),
        DropRecord(Reason.PART, 1, 1),
    )
    assert decision.frames == 1
    made.close()


def test_a_part_that_does_not_fit_is_turned_away(tmp_path: Path) -> None:
    made = outbox(tmp_path / "outbox")
    large = Packet(Kind.PART, 0, 0, bytes(1 << 19), captured=0, geometry=1, priority=0)
    made.put(frame(), 0)
    admission = made.put(large, 0)
    assert admission.entry.key not in made.pending.entries
    (decision,) = admission.drops
    assert unpack(decision.packet.payload) == (DropRecord(Reason.PART, 1, 1),)
    assert not made.pending.ledger.dropped.total()
    made.close()


def test_parts_that_a_power_cut_took_are_told_of_as_parts(tmp_path: Path, medium: Medium) -> None:
    def opened() -> Outbox:
        memory = Memory(tmp_path / "ram", 4 << 20, 60.0)
        return Outbox(tmp_path / "disk", Random(1), 8 << 20, "spill", memory=memory)

    made = opened()
    put_some(made)
    made.tend(61_000_000_000)  # so far the disk has it
    made.put(frame(), 61_000_000_000)
    part = Packet(Kind.PART, 0, 0, b"rest", captured=6, geometry=1, priority=0)
    made.put(part, 61_000_000_000)
    made._storage._lead.tell_disk()
    for shelf in made._storage._lead.shelves:
        shelf.close()
    medium.cut_power(tmp_path / "disk", tmp_path / "ram")
    again = opened()
    assert again.pending.ledger.dropped == {Reason.LOST: 1}
    told = [
        r for e in again.pending.entries.values() if e.kind is Kind.DROP for r in named(again, e)
    ]
    assert DropRecord(Reason.LOST, 6, 1) in told
    assert DropRecord(Reason.PART, 7, 1) in told
    again.close()


def named(made: Outbox, entry: Entry) -> tuple[DropRecord, ...]:
    data = made.read(entry.key)
    assert data is not None
    return unpack(data[HEADER_BYTES:])


def test_an_acknowledged_part_is_forgotten(tmp_path: Path) -> None:
    made = outbox(tmp_path / "outbox")
    put_some(made)
    boot = made.boot
    made.close()
    again = outbox(tmp_path / "outbox")
    assert len(again.pending.parts) == 3
    assert again.settle(boot, Range(0, 6)) == 3
    assert not again.pending.parts
    again.close()
