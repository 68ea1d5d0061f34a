"""Packets through small datagrams: what arrives is the packet, its beginning, or nothing."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec.errors import PacketError
from tactic_codec.packet import HEADER_BYTES, Kind, Packet, pack, unpack
from tactic_delivery.assembly import Assembler, Caps, usable
from tactic_delivery.datagrams import (
    CONTINUATION_BYTES,
    LEAST_DATAGRAM_BYTES,
    POLL,
    cut,
    is_whole,
    read,
)

BOOT = 0x0102_0304


def frame(number: int = 7, size: int = 400, seed: int = 1) -> bytes:
    return pack(Packet(Kind.FRAME, BOOT, number, Random(seed).randbytes(size)))


def test_the_bytes_on_the_wire() -> None:
    packet = pack(Packet(Kind.FRAME, BOOT, 7, bytes(range(16))))
    first, second = cut(packet, 30)
    assert first == packet[:30]
    assert second == bytes.fromhex("201e00") + packet[16:18] + bytes(range(10, 16))


def test_a_continuation_costs_no_more_than_six_bytes() -> None:
    assert CONTINUATION_BYTES <= 6


@given(st.integers(0, 3000), st.integers(LEAST_DATAGRAM_BYTES, 400), st.randoms())
def test_in_any_order_and_repeated_they_are_the_packet(size: int, most: int, rng: Random) -> None:
    packet = frame(size=size)
    parts = cut(packet, most)
    assert all(len(part) <= most for part in parts)
    assert len(parts) == 1 + max(0, -((most - len(packet)) // (most - 5)))
    some = rng.sample(parts, len(parts) // 2)
    rng.shuffle(parts)
    assembler = Assembler(Caps(packets=1))
    found = [p for n, part in enumerate(some + parts) for p in assembler.take(part, n)]
    assert set(found) == {packet}
    assert not assembler.counts


@given(st.integers(4, 1500), st.integers(LEAST_DATAGRAM_BYTES, 200), st.data())
def test_what_is_lost_leaves_a_beginning(size: int, most: int, data: st.DataObject) -> None:
    packet = frame(size=size)
    parts = cut(packet, most)
    missing = data.draw(st.integers(0, len(parts) - 1))
    assembler = Assembler()
    for part in parts[:missing] + parts[missing + 1 :]:
        assert not assembler.take(part, 0)
    found = assembler.give_up(Caps().patience_ns)
    assert not assembler.wake_ns()
    kept = min(len(packet), most + (missing - 1) * (most - 5)) if missing else 0
    if missing and kept // 2 * 2 >= HEADER_BYTES + 4:
        whole, some = unpack(packet), unpack(found[0])
        assert whole.payload.startswith(some.payload)
        assert (some.boot, some.pkt, some.layers) == (whole.boot, whole.pkt, whole.layers)
        assert len(found[0]) == kept // 2 * 2
    else:
        assert not found


@given(st.lists(st.binary(max_size=60), max_size=60))
def test_no_bytes_crash_it_or_fill_it(received: list[bytes]) -> None:
    assembler = Assembler(Caps(packets=3, bytes=5000))
    for now_ns, datagram in enumerate(received):
        for packet in assembler.take(datagram, now_ns):
            assert is_whole(packet)
        assert len(assembler) <= 3
        assert assembler.size_bytes <= 5000


def test_packets_of_one_tag_do_not_mix() -> None:
    by_tag: dict[bytes, bytes] = {}
    for number in range(5000):
        packet = frame(number, size=60, seed=number)
        other = by_tag.setdefault(packet[16:18], packet)
        if other != packet:
            break
    else:
        pytest.fail("no two packets with one tag")
    assembler = Assembler()
    assembler.take(cut(other, 30)[0], 0)
    found = [p for part in cut(packet, 30) for p in assembler.take(part, 1)]
    assert found == [packet]


def test_the_oldest_gives_way_as_a_beginning() -> None:
    assembler = Assembler(Caps(packets=1))
    assert not assembler.take(cut(frame(1), 100)[0], 0)
    given_way = assembler.take(cut(frame(2), 100)[0], 1)
    assert [unpack(packet).pkt for packet in given_way] == [1]
    assert assembler.counts == {"cut": 1}


@pytest.mark.parametrize("kind", [Kind.DROP, Kind.PART])
def test_only_of_frames_a_beginning_is_of_use(kind: Kind) -> None:
    packet = pack(Packet(kind, BOOT, 9, bytes(100), geometry=1, captured=3))
    assert usable(packet[:80]) is None


def test_of_a_sealed_frame_no_beginning_is_of_use() -> None:
    sealed = pack(Packet(Kind.FRAME, BOOT, 9, bytes(100), sealed=True))
    assert usable(sealed[:80]) is None


def test_an_empty_datagram_carries_nothing() -> None:
    assert read(POLL) is None


@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        ("short", frame()[:19]),
        ("short", b"\x00\x14\x00\xaa\xbb"),
        ("version", b"\x80" + bytes(40)),
        ("long", b"\x00\x13\x00\xaa\xbb!"),
        ("long", b"\x1f\xff\xff\xaa\xbb!"),
    ],
)
def test_what_is_refused(reason: str, datagram: bytes) -> None:
    with pytest.raises(PacketError) as fault:
        read(datagram)
    assert fault.value.reason == reason
    assembler = Assembler()
    assert not assembler.take(datagram, 0)
    assert assembler.counts == {reason: 1}


def test_datagrams_too_small_for_a_header_are_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="the least is 24"):
        cut(frame(), 23)


def test_without_beginnings_an_unfinished_frame_is_let_go() -> None:
    assembler = Assembler(Caps(beginnings=False))
    assembler.take(cut(frame(), 100)[0], 0)
    assert not assembler.give_up(Caps().patience_ns)
    assert assembler.counts == {"gone": 1}
