"""Packets: round trip, every damaged bit refused, every reason."""

from __future__ import annotations

import dataclasses
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec.errors import PacketError
from tactic_codec.packet import HEADER_BYTES, MAX_PACKET_BYTES, Kind, Packet, pack, unpack

U32 = st.integers(0, 2**32 - 1)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    kind = draw(st.sampled_from(Kind))
    pkt = draw(st.integers(1, 2**32 - 1))
    part = kind is Kind.PART
    return Packet(
        kind=kind,
        boot=draw(U32),
        pkt=pkt,
        payload=draw(st.binary(max_size=60)),
        bundle=draw(st.integers(0, 0xFFFF)),
        captured=draw(st.integers(0, pkt - 1) if part else U32),
        priority=draw(st.integers(0, 3)),
        level=draw(st.integers(0, 7)),
        geometry=draw(st.integers(int(part), 7)),
        layers=draw(st.integers(1, 4)),
    )


EXAMPLE = Packet(
    Kind.FRAME, 0x0001_2ABC, 7, b"payload", bundle=0xBEEF, captured=1234, geometry=3, layers=2
)


@given(packets())
def test_round_trip(packet: Packet) -> None:
    data = pack(packet)
    assert unpack(data) == packet
    assert len(data) == HEADER_BYTES + len(packet.payload)
    assert pack(unpack(data)) == data


@given(packets(), st.data())
def test_every_flipped_bit_is_refused(packet: Packet, data: st.DataObject) -> None:
    damaged = bytearray(pack(packet))
    bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PacketError) as caught:
        unpack(bytes(damaged))
    assert caught.value.reason in {"check", "version"}


def test_every_flipped_bit_of_one_packet_is_refused() -> None:
    whole = pack(EXAMPLE)
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PacketError):
            unpack(bytes(damaged))


@given(packets(), st.binary(min_size=1, max_size=9))
def test_cut_and_trailing_bytes_are_refused(packet: Packet, more: bytes) -> None:
    data = pack(packet)
    for size in range(len(data)):
        with pytest.raises(PacketError):
            unpack(data[:size])
    with pytest.raises(PacketError, match="check"):
        unpack(data + more)


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(PacketError) as caught:
        unpack(data)
    assert "\n" not in str(caught.value)


def test_fields_lie_where_the_document_says() -> None:
    data = pack(EXAMPLE)
    assert data[0] == 0b01_000_0_01
    assert data[1] == 0b000_011_01
    assert data[2:4] == b"\xef\xbe"
    assert data[4:8] == b"\xbc\x2a\x01\x00"
    assert data[8:12] == b"\x07\0\0\0"
    assert data[12:16] == (1234).to_bytes(4, "little")
    assert data[16:20] == zlib.crc32(data[:16] + b"payload").to_bytes(4, "little")


def sealed_again(data: bytearray) -> bytes:
    """The packet with a check that is right for its damaged header."""
    data[16:20] = zlib.crc32(data[:16] + data[20:]).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 0b00_000_001, "version"),
        (0, 0b10_000_001, "version"),
        (0, 0b01_011_001, "kind"),
        (0, 0b01_111_001, "kind"),
        (0, 0b01_000_101, "sealed"),
        (0, 0b01_001_001, "part"),
    ],
)
def test_reserved_values_are_refused_by_their_reason(at: int, value: int, reason: str) -> None:
    data = bytearray(pack(EXAMPLE))
    data[at] = value
    with pytest.raises(PacketError) as caught:
        unpack(sealed_again(data))
    assert caught.value.reason == reason


def test_part_without_index_is_refused() -> None:
    data = bytearray(pack(Packet(Kind.PART, 1, 9, b"", captured=7, geometry=1)))
    data[1] = 0
    with pytest.raises(PacketError, match="part"):
        unpack(sealed_again(data))


def test_size_limits() -> None:
    largest = Packet(Kind.FRAME, 1, 1, bytes(MAX_PACKET_BYTES - HEADER_BYTES))
    assert len(pack(largest)) == MAX_PACKET_BYTES
    with pytest.raises(ValueError, match="exceeds"):
        pack(dataclasses.replace(largest, payload=largest.payload + b"\0"))
    with pytest.raises(PacketError, match="long"):
        unpack(bytes(MAX_PACKET_BYTES + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"boot": -1},
        {"pkt": 2**32},
        {"captured": 2**32},
        {"bundle": 65536},
        {"priority": 4},
        {"level": 8},
        {"geometry": 8},
        {"layers": 0},
        {"layers": 5},
        {"kind": Kind.PART, "captured": 7},
        {"kind": Kind.PART, "captured": 6, "geometry": 0},
    ],
)
def test_faults_of_the_caller(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"range|part"):
        pack(dataclasses.replace(EXAMPLE, **change))  # type: ignore[arg-type]


def test_identity_of_frame_and_part() -> None:
    frame = Packet(Kind.FRAME, 5, 10, captured=99, geometry=2)
    part = Packet(Kind.PART, 5, 12, captured=10, geometry=1)
    assert (frame.seq, frame.part) == (10, 0)
    assert (part.seq, part.part) == (10, 1)
