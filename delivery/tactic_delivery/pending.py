"""What a node still owes its gateway: numbers, room, drops and the ledger.

Pure bookkeeping. The device makes it durable by writing each change to its log first; the
simulator uses it as it is. Replaying the same changes gives the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet
from tactic_delivery import eviction
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.ledger import Ledger
from tactic_delivery.ranges import Range, RangeSet

# After a power cut, the log may have lost the last numbers of a boot although they were sent.
# A DROP packet for that boot must not get one of them, or the gateway takes it for a duplicate.
NUMBERS_LEFT_OUT = 1024

# Two of them, merged, still fit into one DROP packet.
MOST_IN_DROP = drop.MAX_RECORDS // 3
_GOAL_DIVISOR = 16


@dataclass(frozen=True, slots=True)
class Drop:
    """A decision to give packets up.

    Attributes
    ----------
    packet : Packet
        Kind DROP; names what is given up, and replaces the DROP packets it repeats.
    reason : Reason
    newcomers : int
        Frames among them that were never put: captured and dropped at once (0 or 1).
    removed : tuple of PacketKey
        What leaves the outbox.
    frames : int
        Frames among ``removed``.
    """

    packet: Packet
    reason: Reason
    newcomers: int
    removed: tuple[PacketKey, ...]
    frames: int


class Pending:
    """Packets put and not yet settled.

    Parameters
    ----------
    boot : int
        uint32, the running boot.
    capacity_bytes : int
        Cap on the sum of ``size_bytes``; only DROP packets may exceed it.
    overhead_bytes : int
        What keeping a packet costs beside its own bytes.
    """

    def __init__(self, boot: int, capacity_bytes: int, overhead_bytes: int = 0) -> None:
        self.boot = boot
        self.ledger = Ledger()
        self.entries: dict[PacketKey, Entry] = {}
        self.size_bytes = 0
        self._capacity_bytes = capacity_bytes
        self._overhead_bytes = overhead_bytes
        self._next: dict[int, int] = {}
        self._left_out: set[int] = set()
        self._drops: dict[int, PacketKey] = {}
        self._records: dict[PacketKey, tuple[DropRecord, ...]] = {}

    @property
    def frames(self) -> int:
        """Frames among the entries; equals ``ledger.pending``."""
        return count_frames(self.entries.values())

    def next_numbers(self) -> dict[int, int]:
        """Next packet number of every boot that still has packets, and of the running one."""
        boots = {key.boot for key in self.entries} | {self.boot}
        return {boot: self._next.get(boot, 0) for boot in sorted(boots)}

    def note_number(self, boot: int, following: int) -> None:
        """Numbers below ``following`` have been used."""
        self._next[boot] = max(self._next.get(boot, 0), following)

    def stamp(self, packet: Packet) -> Packet:
        """Give a packet of the running boot the next number."""
        return replace(packet, boot=self.boot, pkt=self._take(self.boot))

    def make_room(self, newcomer: Entry) -> list[Drop]:
        """Decide what to give up so that ``newcomer`` fits; the newcomer itself, if need be."""
        room_bytes = self._capacity_bytes - self.size_bytes
        need_bytes = newcomer.size_bytes + self._overhead_bytes - room_bytes
        if need_bytes <= 0:
            return []
        goal_bytes = max(need_bytes, self._capacity_bytes // _GOAL_DIVISOR)
        victims = eviction.choose(self.entries.values(), newcomer, need_bytes, goal_bytes)
        return self.plan_drops(victims, Reason.FULL)

    def plan_drops(self, victims: Iterable[Entry], reason: Reason) -> list[Drop]:
        """Write the DROP packets, one for each boot, that give ``victims`` up."""
        by_boot: dict[int, list[Entry]] = {}
        for entry in victims:
            by_boot.setdefault(entry.key.boot, []).append(entry)
        return [
            self._plan(boot, entries[at : at + MOST_IN_DROP], reason, merge=at == 0)
            for boot, entries in sorted(by_boot.items())
            for at in range(0, len(entries), MOST_IN_DROP)
        ]

    def put(self, entry: Entry) -> None:
        """Book a new packet."""
        self.ledger.captured += entry.kind is Kind.FRAME
        self.restore(entry)

    def restore(self, entry: Entry, records: tuple[DropRecord, ...] = ()) -> None:
        """Hold a packet again that is already in the ledger."""
        if entry.key in self.entries:
            return
        self.entries[entry.key] = entry
        self.size_bytes += entry.size_bytes + self._overhead_bytes
        self.note_number(entry.key.boot, entry.key.pkt + 1)
        if entry.kind is Kind.DROP:
            self._drops[entry.key.boot] = entry.key
            self._records[entry.key] = records

    def settle(self, boot: int, settled: Range) -> list[Entry]:
        """Book acknowledged packets as stored; return those that were held."""
        removed = self._remove(self._held(boot, settled))
        self.ledger.stored += count_frames(removed)
        return removed

    def apply(self, decision: Drop) -> None:
        """Book a drop: what it removes leaves, its packet enters."""
        self._remove(list(decision.removed))
        self.ledger.captured += decision.newcomers
        self.ledger.dropped[decision.reason] += decision.frames + decision.newcomers
        self.restore(Entry.of(decision.packet), drop.unpack(decision.packet.payload))

    def named_in(self, packet: Packet) -> tuple[PacketKey, ...]:
        """Packets held that a DROP packet names."""
        records = drop.unpack(packet.payload)
        ranges = [Range(r.first, r.count) for r in records]
        return tuple(key for r in ranges for key in self._held(packet.boot, r))

    def _plan(self, boot: int, entries: list[Entry], reason: Reason, merge: bool) -> Drop:
        frames = [e for e in entries if e.kind is Kind.FRAME]
        held = sum(e.key in self.entries for e in frames)
        former = {e.key for e in entries if e.kind is Kind.DROP}
        latest = self._drops.get(boot) if merge else None
        if latest and len(self._records[latest]) <= MOST_IN_DROP:
            former.add(latest)
        records = [r for key in former for r in self._records[key]]
        records += [DropRecord(Reason.REPLACED, key.pkt, 1) for key in former]
        victims = [e.key for e in entries if e.key not in former]
        records += [DropRecord(reason, key.pkt, 1) for key in victims]
        removed = [key for key in victims if key in self.entries] + sorted(former)
        packet = Packet(Kind.DROP, boot, self._take(boot), drop.pack(_merged(records)))
        return Drop(packet, reason, len(frames) - held, tuple(removed), held)

    def _take(self, boot: int) -> int:
        number = self._next.get(boot, 0)
        if boot != self.boot and boot not in self._left_out:
            self._left_out.add(boot)
            number += NUMBERS_LEFT_OUT
        self._next[boot] = number + 1
        return number

    def _held(self, boot: int, r: Range) -> list[PacketKey]:
        if r.size < len(self.entries):
            keys = (PacketKey(boot, number) for number in range(r.first, r.stop))
            return [key for key in keys if key in self.entries]
        return [k for k in self.entries if k.boot == boot and r.first <= k.pkt < r.stop]

    def _remove(self, keys: list[PacketKey]) -> list[Entry]:
        removed = [self.entries.pop(key) for key in keys]
        for entry in removed:
            self.size_bytes -= entry.size_bytes + self._overhead_bytes
            self._records.pop(entry.key, None)
            if self._drops.get(entry.key.boot) == entry.key:
                del self._drops[entry.key.boot]
        return removed


def count_frames(entries: Iterable[Entry]) -> int:
    """Frames among packets: the ledger counts nothing else."""
    return sum(entry.kind is Kind.FRAME for entry in entries)


def _merged(records: list[DropRecord]) -> list[DropRecord]:
    by_reason: dict[Reason, RangeSet] = {}
    for r in records:
        by_reason.setdefault(r.reason, RangeSet()).add(r.first, r.count)
    return [DropRecord(reason, *r) for reason, ranges in by_reason.items() for r in ranges]
