"""DROP payloads: round trip, one canonical form, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec.drop import MAX_RECORDS, DropRecord, Reason, pack, unpack
from tactic_codec.errors import PacketError


@st.composite
def records(draw: st.DrawFn) -> list[DropRecord]:
    found, at = [], 0
    for gap, count in draw(
        st.lists(st.tuples(st.integers(0, 2**26), st.integers(1, 2**26)), min_size=1, max_size=20)
    ):
        found.append(DropRecord(draw(st.sampled_from(Reason)), at + gap, count))
        at += gap + count
    return found


@given(records(), st.randoms(use_true_random=False))
def test_round_trip_in_any_order(found: list[DropRecord], source: object) -> None:
    shuffled = list(found)
    source.shuffle(shuffled)  # type: ignore[attr-defined]
    assert unpack(pack(shuffled)) == tuple(found)
    assert pack(unpack(pack(found))) == pack(found)


@given(st.binary(max_size=40))
def test_garbage_is_refused_or_canonical(data: bytes) -> None:
    try:
        found = unpack(data)
    except PacketError as fault:
        assert fault.reason == "drop"
        assert "\n" not in str(fault)
    else:
        if all(r.reason is not Reason.OTHER for r in found):
            assert pack(found) == data


def test_bytes() -> None:
    assert pack([DropRecord(Reason.FULL, 5, 300)]) == b"\x01\x05\xac\x02"
    assert pack([DropRecord(Reason.DAMAGED, 2**32 - 1, 1)]) == b"\x02\xff\xff\xff\xff\x0f\x01"


def test_reason_of_a_later_version_is_read_as_other() -> None:
    assert unpack(b"\xc8\x00\x01") == (DropRecord(Reason.OTHER, 0, 1),)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x01",
        b"\x01\x05",
        b"\x01\x80",
        b"\x01\x05\x00",
        b"\x01\x85\x00\x01",
        b"\x01\x05\x81\x00",
        b"\x01\x80\x80\x80\x80\x80\x01\x01",
        b"\x01\xff\xff\xff\xff\x0f\x02",
        b"\x01\xff\xff\xff\xff\x7f\x01",
        b"\x01\x05\x02\x01\x06\x01",
        b"\x01\x05\x01\x01\x04\x01",
    ],
)
def test_what_is_no_payload(payload: bytes) -> None:
    with pytest.raises(PacketError, match="drop"):
        unpack(payload)


@pytest.mark.parametrize(
    "found",
    [
        [],
        [DropRecord(Reason.FULL, 0, 0)],
        [DropRecord(Reason.FULL, -1, 1)],
        [DropRecord(Reason.FULL, 2**32, 1)],
        [DropRecord(Reason.FULL, 1, 2**32)],
        [DropRecord(Reason.FULL, 3, 3), DropRecord(Reason.DAMAGED, 5, 1)],
    ],
)
def test_faults_of_the_caller(found: list[DropRecord]) -> None:
    with pytest.raises(ValueError, match=r"[rR]ecord"):
        pack(found)


def test_number_of_records_is_limited() -> None:
    most = [DropRecord(Reason.FULL, 2 * i, 1) for i in range(MAX_RECORDS)]
    assert len(unpack(pack(most))) == MAX_RECORDS
    with pytest.raises(ValueError, match="allowed"):
        pack([*most, DropRecord(Reason.FULL, 2 * MAX_RECORDS, 1)])
    with pytest.raises(PacketError, match="more than"):
        unpack(pack(most) + b"\x01\xff\xff\x7f\x01")
