"""What a node still owes its gateway: numbers, room, drops and the ledger.

Pure bookkeeping. The device makes it durable by writing each change to its log first; the
simulator uses it as it is. Replaying the same changes gives the same state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet
from tactic_delivery import eviction
from tactic_delivery.drops import MOST_IN_DROP, Drop, DropBook, pieces
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.keyset import KeySet
from tactic_delivery.ledger import Ledger
from tactic_delivery.ranges import Range

_GOAL_DIVISOR = 16


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

    Attributes
    ----------
    ledger : Ledger
    entries : dict of PacketKey to Entry
    parts : KeySet
        The PARTs among them.
    size_bytes : int
    """

    def __init__(self, boot: int, capacity_bytes: int, overhead_bytes: int = 0) -> None:
        self.boot = boot
        self.ledger = Ledger()
        self.entries: dict[PacketKey, Entry] = {}
        self.parts = KeySet()
        self.size_bytes = 0
        self._capacity_bytes = capacity_bytes
        self._overhead_bytes = overhead_bytes
        self._next: dict[int, int] = {}
        self._taken: dict[int, set[int]] = {}
        self._waiting: Counter[int] = Counter()
        self._drops = DropBook()

    @property
    def frames(self) -> int:
        """Frames among the entries; equals ``ledger.pending``."""
        return count_frames(self.entries.values())

    @property
    def next_number(self) -> int:
        """The number that the next packet of the running boot gets."""
        return self._next.get(self.boot, 0)

    @property
    def drops(self) -> list[PacketKey]:
        """The DROP packets among the entries."""
        return self._drops.keys

    def next_numbers(self) -> dict[int, int]:
        """Next packet number of every boot that still has packets, and of the running one.

        Of numbers that were taken and are not booked yet, the lowest.
        """
        boots = {boot for boot, count in self._waiting.items() if count} | {self.boot}
        return {
            boot: min(self._taken.get(boot, ()), default=self._next.get(boot, 0))
            for boot in sorted(boots)
        }

    def note_number(self, boot: int, following: int) -> None:
        """Numbers below ``following`` have been used."""
        self._next[boot] = max(self._next.get(boot, 0), following)

    def stamp(self, packet: Packet) -> Packet:
        """Give a packet of the running boot the next number."""
        return replace(packet, boot=self.boot, pkt=self._take(self.boot).pkt)

    def make_room(
        self,
        newcomer: Entry,
        among: Iterable[Entry] | None = None,
        room_bytes: int | None = None,
    ) -> list[Drop]:
        """Decide what to give up so that ``newcomer`` fits; the newcomer itself, if need be.

        Parameters
        ----------
        newcomer : Entry
        among : iterable of Entry or None
            What may give way; everything unless given.
        room_bytes : int or None
            Room there is; what the cap leaves unless given.
        """
        if room_bytes is None:
            room_bytes = self._capacity_bytes - self.size_bytes
        need_bytes = newcomer.size_bytes + self._overhead_bytes - room_bytes
        if need_bytes <= 0:
            return []
        goal_bytes = max(need_bytes, self._capacity_bytes // _GOAL_DIVISOR)
        candidates = self.entries.values() if among is None else among
        victims = eviction.choose(candidates, newcomer, need_bytes, goal_bytes)
        return self.plan_drops(victims, Reason.FULL)

    def plan_drops(self, victims: Iterable[Entry], reason: Reason) -> list[Drop]:
        """Write the DROP packets that give ``victims`` up: one for each boot, more for many."""
        by_key = {entry.key: entry for entry in victims}
        return [
            self._plan(boot, [by_key[key] for key in keys], reason, merge=n == 0)
            for boot in sorted({key.boot for key in by_key})
            for n, keys in enumerate(pieces(key for key in by_key if key.boot == boot))
        ]

    def plan_lost(self, lost: KeySet, reason: Reason, spare: dict[int, int]) -> list[Drop]:
        """Write the DROP packets for numbers of which no packet is left.

        Parameters
        ----------
        lost : KeySet
            Packets that are in the ledger as dropped already.
        reason : Reason
            Why.
        spare : dict of int to int
            For a boot, how many numbers after the last known one may have been used as well.
        """
        found = []
        for boot in sorted({*lost.boots, *spare}):
            records = [DropRecord(reason, *r) for r in lost.of(boot)]
            if count := spare.get(boot, 0):
                first = self._next.get(boot, 0)
                records.append(DropRecord(Reason.UNKNOWN, first, count))
                self._next[boot] = first + count
            for at in range(0, len(records), MOST_IN_DROP):
                some = records[at : at + MOST_IN_DROP]
                packet, former = self._drops.write(self._take(boot), some, (), merge=at == 0)
                found.append(Drop(packet, reason, 0, tuple(former), 0))
        return found

    def plan_skipped(self, reason: Reason, frames: int) -> Drop:
        """Write the DROP packet for frames that were never coded: they get numbers only now."""
        first = self.next_number
        self._next[self.boot] = first + frames
        self._taken.setdefault(self.boot, set()).add(first)
        gone = [DropRecord(reason, first, frames)]
        packet, former = self._drops.write(self._take(self.boot), gone, (), merge=True)
        return Drop(packet, reason, frames, tuple(former), 0)

    def expired(self, now_ns: int) -> list[Entry]:
        """Find what nobody wants any more, oldest first; deadlines rise with age."""
        found = []
        for entry in self.entries.values():
            if entry.expires_ns is None:
                continue
            if entry.expires_ns > now_ns:
                break
            found.append(entry)
        return found

    def put(self, entry: Entry) -> None:
        """Book a new packet."""
        self.ledger.captured += entry.kind is Kind.FRAME
        self.restore(entry)

    def restore(self, entry: Entry, records: tuple[DropRecord, ...] = ()) -> None:
        """Hold a packet again that is already in the ledger."""
        if entry.key in self.entries:
            return
        self.entries[entry.key] = entry
        self._waiting[entry.key.boot] += 1
        self.size_bytes += entry.size_bytes + self._overhead_bytes
        self.note_number(entry.key.boot, entry.key.pkt + 1)
        self._close(entry.key.boot, entry.key.pkt, 1)
        if entry.kind is Kind.DROP:
            self._drops.hold(entry.key, records)
        elif entry.kind is Kind.PART:
            self.parts.add(entry.key)

    def held(self, boot: int, settled: Range) -> list[Entry]:
        """Find the packets of a range that wait."""
        return [self.entries[key] for key in self._held(boot, settled)]

    def settle(self, boot: int, settled: Range) -> list[Entry]:
        """Book acknowledged packets as stored; return those that were held."""
        removed = self._remove(self._held(boot, settled))
        self.ledger.stored += count_frames(removed)
        return removed

    def apply(self, decision: Drop) -> None:
        """Book a drop: what it removes leaves, its packet enters."""
        self._remove(decision.removed)
        self.ledger.captured += decision.newcomers
        if given_up := decision.frames + decision.newcomers:
            self.ledger.dropped[decision.reason] += given_up
        records = drop.unpack(decision.packet.payload)
        for r in records:
            self._close(decision.packet.boot, r.first, r.count)
        self.restore(Entry.of(decision.packet), records)

    def _plan(self, boot: int, entries: list[Entry], reason: Reason, merge: bool) -> Drop:
        frames = [e for e in entries if e.kind is Kind.FRAME]
        held = sum(e.key in self.entries for e in frames)
        victims = [e.key for e in entries if e.kind is not Kind.DROP]
        broken = [e.key for e in entries if e.kind is Kind.DROP]
        parts = {e.key for e in entries if e.kind is Kind.PART}
        # A number that was no frame: nobody shall miss one.
        gone = [DropRecord(Reason.PART if k in parts else reason, k.pkt, 1) for k in victims]
        packet, former = self._drops.write(self._take(boot), gone, broken, merge)
        removed = [key for key in victims if key in self.entries] + former
        refused = any(key not in self.entries for key in victims)
        return Drop(packet, reason, len(frames) - held, tuple(removed), held, refused)

    def _take(self, boot: int) -> PacketKey:
        number = self._next.get(boot, 0)
        self._next[boot] = number + 1
        self._taken.setdefault(boot, set()).add(number)
        return PacketKey(boot, number)

    def _close(self, boot: int, first: int, count: int) -> None:
        """Numbers are booked now."""
        if taken := self._taken.get(boot):
            taken -= {number for number in taken if first <= number < first + count}
            if not taken:
                del self._taken[boot]

    def _held(self, boot: int, r: Range) -> list[PacketKey]:
        if r.size < len(self.entries):
            keys = (PacketKey(boot, number) for number in range(r.first, r.stop))
            return [key for key in keys if key in self.entries]
        return [k for k in self.entries if k.boot == boot and r.first <= k.pkt < r.stop]

    def _remove(self, keys: Iterable[PacketKey]) -> list[Entry]:
        removed = [self.entries.pop(key) for key in keys]
        for entry in removed:
            self.size_bytes -= entry.size_bytes + self._overhead_bytes
            self._drops.let_go(entry.key)
            self.parts.discard(entry.key)
            self._waiting[entry.key.boot] -= 1
        return removed


def count_frames(entries: Iterable[Entry]) -> int:
    """Frames among packets: the ledger counts nothing else."""
    return sum(entry.kind is Kind.FRAME for entry in entries)
