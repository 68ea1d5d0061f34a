from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet
from tactic_delivery import pending as module
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.eviction import choose
from tactic_delivery.pending import Drop, Pending
from tactic_delivery.ranges import Range

BOOT = 0x5000


def put(pending: Pending, size_bytes: int = 100, priority: int = 1) -> list[Drop]:
    payload = bytes(size_bytes - 20)
    entry = Entry.of(pending.stamp(Packet(Kind.FRAME, 0, 0, payload, priority=priority)))
    drops = pending.make_room(entry)
    for decision in drops:
        pending.apply(decision)
    if not any(decision.newcomers for decision in drops):
        pending.put(entry)
    assert pending.ledger.pending == pending.frames
    return drops


def records(decision: Drop) -> set[DropRecord]:
    return set(drop.unpack(decision.packet.payload))


def test_the_lowest_class_gives_way_oldest_first() -> None:
    def entry(pkt: int, priority: int, kind: Kind = Kind.FRAME) -> Entry:
        return Entry(PacketKey(BOOT, pkt), kind, priority, 100)

    held = [entry(0, 2), entry(1, 0), entry(2, 1), entry(3, 0), entry(4, 0, Kind.DROP)]
    newcomer = entry(9, 1)
    assert choose(held, newcomer, 100, 150) == [held[1], held[3]]
    assert choose(held, newcomer, 300, 300) == [held[1], held[3], held[2]]
    assert choose(held, newcomer, 301, 301) == [newcomer]


def test_a_drop_names_what_was_evicted_and_replaces_the_drop_before() -> None:
    pending = Pending(BOOT, 1000)
    for _ in range(10):
        assert put(pending) == []
    (first,) = put(pending)
    assert records(first) == {DropRecord(Reason.FULL, 0, 1)}
    assert first.packet.pkt == 11
    # The DROP packet needs room as well: two more frames give way.
    (second,) = put(pending)
    assert records(second) == {DropRecord(Reason.FULL, 0, 3), DropRecord(Reason.REPLACED, 11, 1)}
    assert [e.kind for e in pending.entries.values()].count(Kind.DROP) == 1
    assert pending.ledger.as_dict() == {
        "captured": 12,
        "stored": 0,
        "dropped": {"full": 3},
        "pending": 9,
    }


def test_a_newcomer_below_everything_held_is_dropped_itself() -> None:
    pending = Pending(BOOT, 300)
    for _ in range(3):
        put(pending, priority=3)
    (decision,) = put(pending, priority=0)
    assert decision.newcomers == 1
    assert decision.removed == ()
    assert records(decision) == {DropRecord(Reason.FULL, 3, 1)}
    assert pending.ledger.captured == 4
    assert pending.frames == 3


def test_drops_of_an_earlier_boot_leave_numbers_out_once() -> None:
    pending = Pending(BOOT, 300)
    for pkt in range(3):
        pending.put(Entry(PacketKey(BOOT - 0x1000, pkt), Kind.FRAME, 1, 100))
    (first,) = put(pending)
    (second,) = put(pending)
    assert (first.packet.boot, first.packet.pkt) == (BOOT - 0x1000, 3 + module.NUMBERS_LEFT_OUT)
    assert second.packet.pkt == first.packet.pkt + 1


def test_a_damaged_drop_packet_is_written_again_from_memory() -> None:
    pending = Pending(BOOT, 300)
    for _ in range(4):
        put(pending)
    (held,) = [e for e in pending.entries.values() if e.kind is Kind.DROP]
    (decision,) = pending.plan_drops([held], Reason.DAMAGED)
    pending.apply(decision)
    assert records(decision) == {
        DropRecord(Reason.FULL, 0, 1),
        DropRecord(Reason.REPLACED, held.key.pkt, 1),
    }
    assert pending.ledger.dropped == {Reason.FULL: 1, Reason.DAMAGED: 0}


def test_huge_evictions_are_split_over_several_drop_packets() -> None:
    pending = Pending(BOOT, 1)
    every_other = [
        Entry(PacketKey(BOOT, 2 * n), Kind.FRAME, 0, 30) for n in range(module.MOST_IN_DROP + 5)
    ]
    for entry in every_other:
        pending.put(entry)
    for decision in pending.plan_drops(every_other, Reason.FULL):
        pending.apply(decision)
    assert [e.kind for e in pending.entries.values()] == [Kind.DROP, Kind.DROP]
    assert pending.ledger.pending == 0


def test_settling_books_frames_only() -> None:
    pending = Pending(BOOT, 1000)
    for _ in range(4):
        put(pending)
    assert [e.key.pkt for e in pending.settle(BOOT, Range(1, 1 << 31))] == [1, 2, 3]
    assert pending.settle(BOOT + 1, Range(0, 5)) == []
    assert (pending.ledger.stored, pending.frames) == (3, 1)
    assert pending.next_numbers() == {BOOT: 4}
