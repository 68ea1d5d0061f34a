import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_delivery.ack import MAX_RANGES, Ack, pack, unpack
from tactic_delivery.errors import AckError
from tactic_delivery.ranges import NUMBERS, Range, RangeSet

uint32 = st.integers(0, NUMBERS - 1)


@st.composite
def acks(draw: st.DrawFn) -> Ack:
    cumulative = draw(st.integers(0, 1000))
    drawn = st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 9)), max_size=MAX_RANGES)
    merged = RangeSet((cumulative + gap, count) for gap, count in draw(drawn))
    order = draw(st.permutations(list(merged)))
    return Ack(draw(uint32), cumulative, draw(st.integers(0, 0xFFFF)), tuple(order))


@given(acks())
def test_what_is_packed_is_read_back(ack: Ack) -> None:
    assert unpack(pack(ack)) == ack


@given(acks(), st.data())
def test_any_single_damaged_byte_is_noticed(ack: Ack, data: st.DataObject) -> None:
    raw = bytearray(pack(ack))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(AckError):
        unpack(bytes(raw))


@given(acks())
def test_cut_or_lengthened_messages_are_refused(ack: Ack) -> None:
    raw = pack(ack)
    for wrong in [raw[:n] for n in range(len(raw))] + [raw + b"\0"]:
        with pytest.raises(AckError):
            unpack(wrong)


@given(st.binary(max_size=100))
def test_noise_is_refused_and_crashes_nothing(raw: bytes) -> None:
    with pytest.raises(AckError):
        unpack(raw)


@pytest.mark.parametrize(
    "ranges",
    [[(5, 1)], [(3, 2)], [(9, 0)], [(9, 3), (11, 1)], [(NUMBERS - 1, 2)]],
    ids=["touches cumulative", "below it", "empty", "overlap", "overflow"],
)
def test_ranges_that_make_no_sense_are_refused(ranges: list[tuple[int, int]]) -> None:
    body = struct.pack("<BIIHB", 1, 7, 5, 1, len(ranges))
    body += b"".join(struct.pack("<II", *r) for r in ranges)
    with pytest.raises(AckError) as caught:
        unpack(body + struct.pack("<I", zlib.crc32(body)))
    assert caught.value.reason == "ranges"


def test_the_bytes_are_frozen() -> None:
    raw = pack(Ack(0x01020304, 5, 64, (Range(7, 2),)))
    assert raw.hex() == "0104030201050000004000010700000002000000a8037041"


def test_a_ninth_range_does_not_fit() -> None:
    with pytest.raises(ValueError, match="at most 8"):
        pack(Ack(1, 0, 1, tuple(Range(2 * n + 1, 1) for n in range(9))))
    with pytest.raises(ValueError, match="out of range"):
        pack(Ack(-1, 0, 1))
