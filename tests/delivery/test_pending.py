from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet
from tactic_delivery.drops import MOST_IN_DROP, Drop
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.eviction import choose
from tactic_delivery.keyset import KeySet
from tactic_delivery.pending import Pending
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


def test_skipped_frames_are_captured_and_dropped_at_once() -> None:
    pending = Pending(BOOT, 1000)
    put(pending)
    pending.apply(pending.plan_skipped(Reason.GATED, 5))
    second = pending.plan_skipped(Reason.BUDGET, 2)
    pending.apply(second)
    assert records(second) == {
        DropRecord(Reason.GATED, 1, 5),
        DropRecord(Reason.REPLACED, 6, 1),
        DropRecord(Reason.BUDGET, 7, 2),
    }
    assert second.packet.pkt == 9
    assert pending.ledger.as_dict() == {
        "captured": 8,
        "stored": 0,
        "dropped": {"gated": 5, "budget": 2},
        "pending": 1,
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


def test_what_a_power_cut_took_is_named_with_the_numbers_nobody_knows_of() -> None:
    pending = Pending(BOOT, 1000)
    old = BOOT - 0x1000
    pending.restore(Entry(PacketKey(old, 3), Kind.FRAME, 1, 100))
    lost = KeySet([(old, 0, 2), (old, 6, 1)])
    pending.note_number(old, 7)
    (decision,) = pending.plan_lost(lost, Reason.LOST, {old: 50})
    pending.apply(decision)
    assert records(decision) == {
        DropRecord(Reason.LOST, 0, 2),
        DropRecord(Reason.LOST, 6, 1),
        DropRecord(Reason.UNKNOWN, 7, 50),
    }
    # Its own number is none that may have been used.
    assert (decision.packet.boot, decision.packet.pkt) == (old, 57)
    assert pending.plan_lost(KeySet(), Reason.LOST, {}) == []


def test_what_is_too_old_is_found_oldest_first_and_drops_never_are() -> None:
    pending = Pending(BOOT, 1000)
    for pkt, expires_ns in ((0, 5), (1, None), (2, 7), (3, 9)):
        packet = Packet(Kind.FRAME, BOOT, pkt)
        pending.put(Entry.of(packet, expires_ns))
    assert [e.key.pkt for e in pending.expired(4)] == []
    assert [e.key.pkt for e in pending.expired(7)] == [0, 2]
    assert Entry.of(Packet(Kind.DROP, BOOT, 9), 5).expires_ns is None


def test_a_number_named_twice_counts_once() -> None:
    pending = Pending(BOOT, 1000)
    for _ in range(2):
        for decision in pending.plan_lost(KeySet([(BOOT, 3, 4)]), Reason.LOST, {}):
            pending.apply(decision)
    (decision,) = pending.plan_lost(KeySet([(BOOT, 5, 4)]), Reason.DAMAGED, {})
    assert {r for r in records(decision) if r.reason is not Reason.REPLACED} == {
        DropRecord(Reason.LOST, 3, 4),
        DropRecord(Reason.DAMAGED, 7, 2),
    }


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
    assert pending.ledger.dropped == {Reason.FULL: 1}


def test_huge_evictions_are_split_over_several_small_drop_packets() -> None:
    pending = Pending(BOOT, 1)
    spread = [Entry(PacketKey(BOOT, 2 * n), Kind.FRAME, 0, 30) for n in range(MOST_IN_DROP + 5)]
    together = [Entry(PacketKey(BOOT, n), Kind.FRAME, 0, 30) for n in range(9000, 12000)]
    for entry in spread + together:
        pending.put(entry)
    for decision in pending.plan_drops(together + spread, Reason.FULL):
        pending.apply(decision)
    assert [e.kind for e in pending.entries.values()] == [Kind.DROP, Kind.DROP]
    assert pending.ledger.pending == 0
    assert max(e.size_bytes for e in pending.entries.values()) < 4096


def test_settling_books_frames_only() -> None:
    pending = Pending(BOOT, 1000)
    for _ in range(4):
        put(pending)
    assert [e.key.pkt for e in pending.settle(BOOT, Range(1, 1 << 31))] == [1, 2, 3]
    assert pending.settle(BOOT + 1, Range(0, 5)) == []
    assert (pending.ledger.stored, pending.frames) == (3, 1)
    assert pending.next_numbers() == {BOOT: 4}
