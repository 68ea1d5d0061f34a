import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.errors import PacketError
from tactic_codec.packet import Kind, Packet
from tactic_delivery.ack import MAX_RANGES, pack, unpack
from tactic_delivery.ranges import Range
from tactic_delivery.receiver import Receipt, Receiver


def frame(pkt: int) -> Packet:
    return Packet(Kind.FRAME, 7, pkt, b"x")


def drops(pkt: int, *records: DropRecord) -> Packet:
    return Packet(Kind.DROP, 7, pkt, drop.pack(records))


@given(st.lists(st.integers(0, 40), min_size=1))
def test_every_packet_is_new_once_and_in_the_next_ack(arrivals: list[int]) -> None:
    receiver, seen = Receiver(7), set[int]()
    for pkt in arrivals:
        assert receiver.record(frame(pkt)).new == (pkt not in seen)
        seen.add(pkt)
        ack = unpack(pack(receiver.ack(5)))
        assert pkt < ack.cumulative or any(r.first <= pkt < r.stop for r in ack.ranges)
        named = set(range(ack.cumulative)) | {n for r in ack.ranges for n in range(r.first, r.stop)}
        assert named <= seen


def test_an_old_packet_below_many_gaps_is_named() -> None:
    receiver = Receiver(7, [(2 * n, 1) for n in range(100, 200)])
    receiver.record(frame(11))
    ack = receiver.ack(1)
    assert ack.ranges[0] == Range(11, 1)
    assert len(ack.ranges) == MAX_RANGES


def test_drops_settle_only_what_is_missing() -> None:
    receiver = Receiver(7)
    receiver.record(frame(1))
    packet = drops(4, DropRecord(Reason.FULL, 0, 3))
    expected = (DropRecord(Reason.FULL, 0, 1), DropRecord(Reason.FULL, 2, 1))
    assert receiver.record(packet) == Receipt(new=True, dropped=expected)
    assert receiver.record(packet) == Receipt(new=False)
    assert receiver.record(frame(2)) == Receipt(new=False)
    assert receiver.ack(1).cumulative == 3
    assert 4 in receiver
    assert 3 not in receiver


def test_drops_of_numbers_not_yet_used_are_refused() -> None:
    receiver = Receiver(7)
    with pytest.raises(PacketError, match="drop"):
        receiver.record(drops(4, DropRecord(Reason.FULL, 3, 2)))
    with pytest.raises(PacketError, match="drop"):
        receiver.record(Packet(Kind.DROP, 7, 4, b"\xff"))
    assert 4 not in receiver


def test_a_receiver_rebuilt_from_the_store_knows_the_same() -> None:
    receiver = Receiver(7)
    for pkt in (0, 1, 5):
        receiver.record(frame(pkt))
    again = Receiver(7, [(5, 1), (0, 1), (1, 1)])
    assert again.ack(3) == receiver.ack(3)
    assert not again.record(frame(5)).new
