"""The node's memory: every frame from `put` to its acknowledgement, across any kill.

Bookkeeping is `tactic_delivery.pending`; this module writes each of its changes to a log first.
Which log, and what happens when a medium fails, is `storage`; how a run begins where the former
one ended is `replay`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from tactic_codec.drop import Reason
from tactic_codec.node_key import NodeKey
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_delivery.drops import Drop
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.keyset import KeySet
from tactic_delivery.pending import Pending, count_frames
from tactic_delivery.ranges import Range
from tactic_device.boot import next_boot
from tactic_device.errors import OutboxError
from tactic_device.journal import OVERHEAD_BYTES
from tactic_device.lead import Lead, machine
from tactic_device.memory import Memory, open_shelf
from tactic_device.records import DROP_HEAD_BYTES, Dropped, RecordType, Settled
from tactic_device.recovery import Recovered, recover
from tactic_device.shelf import Shelf
from tactic_device.storage import Storage

Durability = Literal["frame", "batch", "spill"]

DISK_SEGMENTS = 16

_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Admission:
    """What `Outbox.put` did.

    Attributes
    ----------
    entry : Entry
        The packet as it was numbered.
    drops : tuple of Drop
        What had to give way; perhaps the packet itself.
    """

    entry: Entry
    drops: tuple[Drop, ...]


class Outbox:
    """Packets waiting for acknowledgement, within a hard cap. Not thread-safe.

    Once it is open, it goes on whatever its media do; `troubles` says what is wrong.

    Parameters
    ----------
    folder : Path
        On the disk; made if missing; locked against a second process.
    rng : random.Random
        For the boot number.
    max_bytes : int
        Cap on the bytes of all segments on the disk.
    durability : {"frame", "batch", "spill"}
        Sync every packet, or every 16 packets or second; or keep packets in memory, and write
        those to the disk that wait for long.
    key : NodeKey or None
        Seals every packet before it is kept, so that what is sent again is the same bytes.
    memory : Memory or None
        Needed for ``spill``. Otherwise what it holds moves to the disk.
    deadline_s : float
        Packets that waited for so long are given up; 0: never. What an earlier run left waits
        from the start of this one.
    now_ns : int
        Monotonic time, as in `put`.

    Attributes
    ----------
    boot : int
        uint32, of this run.
    pending : Pending
        What waits, and the ledger.
    damaged_bytes : int
        Bytes that could not be read when the outbox was opened, a torn tail included.

    Raises
    ------
    OutboxError
        The folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        rng: Random,
        max_bytes: int,
        durability: Durability = "batch",
        key: NodeKey | None = None,
        memory: Memory | None = None,
        deadline_s: float = 0.0,
        now_ns: int = 0,
    ) -> None:
        self._folder = folder
        self._key = key
        self._deadline_ns = int(deadline_s * _S)
        # What waits fills at most three quarters, so that moving it frees segments.
        self.pending = Pending(0, max_bytes * 3 // 4, OVERHEAD_BYTES)
        try:
            self._disk = Shelf("disk", folder, max_bytes, DISK_SEGMENTS)
            no_memory = None
            try:
                self._memory = open_shelf(memory, make=durability == "spill")
            except OSError as fault:
                self._memory, no_memory = None, fault
            recovered = recover(self._disk, self._memory, self._open, machine())
            self.pending.boot = self.boot = next_boot(folder, rng, recovered.highest_boot)
        except OSError as fault:
            reason = fault.strerror or "cannot be used"
            raise OutboxError(f"{folder}: outbox: {reason}; check outbox.path and disk") from fault
        self.damaged_bytes = recovered.damaged_bytes
        recovered.restore(self.pending, self._expiry(now_ns))
        lead = Lead(
            self.pending,
            self._disk,
            self._memory,
            recovered.epoch,
            recovered.base,
            recovered.memory_counts,
        )
        spills = memory is not None and durability == "spill"
        spill_after_ns = int(memory.spill_after_s * _S) if memory and spills else None
        self._storage = Storage(lead, spill_after_ns, durability == "frame")
        if no_memory:
            self._storage.media.troubles.note("memory", "write", no_memory, now_ns)
        self._report_lost(recovered)
        self._storage.open(now_ns)
        self.tend(now_ns)

    @property
    def size_bytes(self) -> int:
        """Bytes on the disk."""
        return self._disk.journal.size_bytes

    @property
    def memory_bytes(self) -> int:
        """Bytes of the log in memory."""
        return self._memory.journal.size_bytes if self._memory else 0

    @property
    def troubles(self) -> dict[str, str]:
        """Cause and remedy for each medium that fails (``disk``, ``memory``)."""
        return self._storage.media.troubles.texts()

    def put(self, packet: Packet, now_ns: int) -> Admission:
        """Take a packet of this boot and keep it: it survives ``kill -9`` from here on.

        Its ``boot`` and ``pkt`` are set here. It may be given up at once: when everything else
        in a full outbox is of a higher class, or no medium takes it.
        """
        drops = list(self.tend(now_ns))
        packet = self._seal(self.pending.stamp(packet))
        entry = Entry.of(packet, self._expiry(now_ns))
        with self._storage.in_hand(entry):
            given_up = self._make_room(entry)
            if not any(decision.turned_away for decision in given_up):
                if self._storage.write(RecordType.PACKET, pack(packet), entry.key):
                    self.pending.put(entry)
                else:
                    given_up += self._drop([entry], Reason.STORAGE)
        return Admission(entry, (*drops, *given_up))

    def settle(self, boot: int, settled: Range) -> int:
        """Forget packets that the gateway has stored; return the number of frames among them."""
        held = self.pending.held(boot, settled)
        frames = count_frames(held)
        if held:
            self._storage.write(RecordType.SETTLED, Settled(boot, settled, frames).pack())
            self.pending.settle(boot, settled)
            self._storage.forget(entry.key for entry in held)
            self._storage.clean()
        return frames

    def read(self, key: PacketKey) -> bytes | None:
        """Read the bytes of a packet, or None if the medium has damaged them.

        Raises
        ------
        OSError
            They cannot be read now.
        """
        return self._storage.read(key)

    def give_up(self, key: PacketKey, reason: Reason = Reason.DAMAGED) -> list[Drop]:
        """Drop a packet that cannot be sent."""
        return self._drop([self.pending.entries[key]], reason)

    def skip(self, reason: Reason, frames: int) -> list[Drop]:
        """Account for frames that were never coded."""
        return self._write_drops([self.pending.plan_skipped(reason, frames)])

    def tend(self, now_ns: int) -> tuple[Drop, ...]:
        """Do what is due: sync, spill, try failed media again, give up what is too old."""
        entries = self.pending.entries
        damaged = [entries[key] for key in self._storage.tend(now_ns) if key in entries]
        drops = self._drop(damaged, Reason.DAMAGED)
        if self._deadline_ns:
            drops += self._drop(self.pending.expired(now_ns), Reason.EXPIRED)
        return tuple(drops)

    def close(self) -> None:
        """Write everything to the disk and release it."""
        self._storage.close()

    def _report_lost(self, recovered: Recovered) -> None:
        """Tell the gateway which numbers nobody has any more; the ledger knows it already."""
        self._report(recovered.lost_parts, Reason.PART, {})
        self._report(recovered.lost, recovered.why, recovered.spare)
        self._report(recovered.skipped, Reason.UNKNOWN, {})

    def _report(self, lost: KeySet, why: Reason, spare: dict[int, int]) -> None:
        for decision in self.pending.plan_lost(lost, why, spare):
            packet = self._seal(decision.packet)
            self.pending.apply(decision)
            self._storage.forget(decision.removed)
            self._storage.float(PacketKey(packet.boot, packet.pkt), pack(packet))

    def _expiry(self, now_ns: int) -> int | None:
        return now_ns + self._deadline_ns if self._deadline_ns else None

    def _make_room(self, entry: Entry) -> list[Drop]:
        if entry.size_bytes > self._storage.largest_bytes:
            return self._drop([entry], Reason.FULL)
        drops = self._write_drops(self.pending.make_room(entry))
        if any(decision.turned_away for decision in drops):
            return drops
        if crowd := self._storage.spill.crowd(entry.size_bytes):
            room_bytes, keys = crowd
            among = [self.pending.entries[key] for key in keys]
            drops += self._write_drops(self.pending.make_room(entry, among, room_bytes))
        return drops

    def _drop(self, entries: Iterable[Entry], reason: Reason) -> list[Drop]:
        return self._write_drops(self.pending.plan_drops(entries, reason))

    def _write_drops(self, decisions: list[Drop]) -> list[Drop]:
        for decision in decisions:
            packet = self._seal(decision.packet)
            key, data = PacketKey(packet.boot, packet.pkt), pack(packet)
            change = Dropped(decision.reason, decision.newcomers, decision.frames)
            body = change.pack() + data
            if not self._storage.write(RecordType.DROP, body, key, DROP_HEAD_BYTES):
                self._storage.float(key, data)
            self.pending.apply(decision)
            self._storage.forget(decision.removed)
        if decisions:
            self._storage.clean()
        return decisions

    def _seal(self, packet: Packet) -> Packet:
        return self._key.seal(packet) if self._key else packet

    def _open(self, data: bytes) -> Packet:
        """Read a packet of the log; only what a DROP says is needed in the clear."""
        packet = unpack(data, sealed=True)
        if packet.sealed != (self._key is not None):
            raise OutboxError(
                f"{self._folder}: outbox has packets from before node.key_file was set or removed; "
                "let it empty as it was, or change outbox.path"
            )
        return self._key.unseal(packet) if self._key and packet.kind is Kind.DROP else packet
