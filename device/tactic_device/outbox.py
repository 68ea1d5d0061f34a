"""The node's memory: every frame from `put` to its acknowledgement, across any kill.

Bookkeeping is `tactic_delivery.pending`; this module writes each of its changes to the journal
first. Records: CHECKPOINT (opens a segment: ledger and next numbers as JSON), PUT and CARRY (a
packet; CARRY moves one out of an old segment), SETTLED (boot, first, count, frames), DROP
(reason, newcomers, frames, then the DROP packet).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import Literal

from tactic_codec.drop import Reason
from tactic_codec.drop import unpack as unpack_drops
from tactic_codec.errors import PacketError
from tactic_codec.node_key import NodeKey
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.pending import Drop, Pending, count_frames
from tactic_delivery.ranges import Range
from tactic_device.boot import next_boot
from tactic_device.errors import OutboxError
from tactic_device.journal import OVERHEAD_BYTES, Journal, Place, Record

BATCH_PACKETS = 16
BATCH_NS = 1_000_000_000
SEGMENTS = 16
MOST_SEGMENTS = 48

_SETTLED = struct.Struct("<IIII")
_DROP = struct.Struct("<BII")


class RecordType(IntEnum):
    """What a journal record says."""

    CHECKPOINT = 1
    PUT = 2
    CARRY = 3
    SETTLED = 4
    DROP = 5


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
    """Packets waiting for acknowledgement, on disk, within a hard cap. Not thread-safe.

    Parameters
    ----------
    folder : Path
        Made if missing; locked against a second process.
    rng : random.Random
        For the boot number.
    max_bytes : int
        Cap on the bytes of all segments.
    durability : {"frame", "batch"}
        Sync every packet, or every 16 packets or second.
    key : NodeKey or None
        Seals every packet before it is kept, so that what is sent again is the same bytes.

    Raises
    ------
    OutboxError
        The folder cannot be used. So does every other method when the medium fails.
    """

    def __init__(
        self,
        folder: Path,
        rng: Random,
        max_bytes: int,
        durability: Literal["frame", "batch"] = "batch",
        key: NodeKey | None = None,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = max_bytes // SEGMENTS
        self._durability = durability
        self._key = key
        self._places: dict[PacketKey, Place] = {}
        self._in_segment: dict[int, set[PacketKey]] = {}
        self._unsynced = 0
        self._unsynced_ns = 0
        with self._storage():
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder)
            self._journal = Journal(folder)
            # Live packets fill at most three quarters, so that moving them frees segments.
            self.pending = Pending(0, max_bytes * 3 // 4, OVERHEAD_BYTES)
            self._replay()
            seen = max((key.boot for key in self.pending.entries), default=0)
            self.pending.boot = self.boot = next_boot(folder, rng, seen)
            self._roll()
            self._clean(0)

    @property
    def size_bytes(self) -> int:
        """Bytes on the medium."""
        return self._journal.size_bytes

    @property
    def damaged_bytes(self) -> int:
        """Bytes that could not be read when the outbox was opened, a torn tail included."""
        return self._journal.damaged_bytes

    def put(self, packet: Packet, now_ns: int) -> Admission:
        """Take a packet of this boot and keep it: it survives ``kill -9`` from here on.

        Its ``boot`` and ``pkt`` are set here. It may be given up at once, when everything else
        in a full outbox is of a higher class.
        """
        packet = self._seal(self.pending.stamp(packet))
        entry = Entry.of(packet)
        with self._storage():
            if entry.size_bytes > self._segment_bytes // 2:
                drops = self.pending.plan_drops([entry], Reason.FULL)
            else:
                drops = self.pending.make_room(entry)
            for decision in drops:
                self._write_drop(decision)
            if not any(decision.newcomers for decision in drops):
                place = self._append(RecordType.PUT, pack(packet))
                self.pending.put(entry)
                self._locate(entry.key, place)
            self._count_unsynced(now_ns)
        return Admission(entry, tuple(drops))

    def settle(self, boot: int, settled: Range) -> int:
        """Forget packets that the gateway has stored; return the number of frames among them."""
        with self._storage():
            removed = self.pending.settle(boot, settled)
            frames = count_frames(removed)
            if removed:
                self._append(RecordType.SETTLED, _SETTLED.pack(boot, *settled, frames))
                self._release(entry.key for entry in removed)
                self._clean(0)
        return frames

    def read(self, key: PacketKey) -> bytes | None:
        """Read the bytes of a packet, or None if the medium has damaged them."""
        with self._storage():
            data = self._journal.read(self._places[key])
        try:
            unpack(data, sealed=True)
        except PacketError:
            return None
        return data

    def give_up(self, key: PacketKey) -> list[Drop]:
        """Drop a damaged packet."""
        with self._storage():
            drops = self.pending.plan_drops([self.pending.entries[key]], Reason.DAMAGED)
            for decision in drops:
                self._write_drop(decision)
        return drops

    def sync_if_due(self, now_ns: int) -> None:
        """Sync a batch that has waited for a second."""
        if self._unsynced and now_ns - self._unsynced_ns >= BATCH_NS:
            with self._storage():
                self._sync()

    def close(self) -> None:
        """Sync and release everything."""
        with self._storage():
            self._journal.close()
        os.close(self._lock)

    def _replay(self) -> None:
        for record in self._journal.replay():
            try:
                _HANDLERS[RecordType(record.type)](self, record)
            except (ValueError, KeyError, TypeError, struct.error, PacketError) as fault:
                # Its check is right, so it was written like this.
                raise OutboxError(
                    f"{self._folder}: outbox was written by another version of tactic; use that "
                    "version, or change outbox.path"
                ) from fault
        # A damaged segment leaves the account open: what it held can no longer be delivered,
        # and what it settled will be sent and settled again.
        lost = self.pending.ledger.pending - self.pending.frames
        if lost > 0:
            self.pending.ledger.dropped[Reason.DAMAGED] += lost
        self.pending.ledger.stored += min(lost, 0)

    def _replay_checkpoint(self, record: Record) -> None:
        state = json.loads(record.body)
        ledger = self.pending.ledger
        ledger.captured, ledger.stored = state["captured"], state["stored"]
        ledger.dropped = Counter({Reason(int(r)): n for r, n in state["dropped"].items()})
        for boot, following in state["next"].items():
            self.pending.note_number(int(boot), following)

    def _replay_packet(self, record: Record) -> None:
        packet = self._open(record.body)
        entry = Entry.of(packet)
        if record.type == RecordType.PUT:
            self.pending.put(entry)
        else:
            records = unpack_drops(packet.payload) if packet.kind is Kind.DROP else ()
            self.pending.restore(entry, records)
        self._locate(entry.key, record.place)

    def _replay_settled(self, record: Record) -> None:
        boot, first, count, frames = _SETTLED.unpack(record.body)
        removed = self.pending.settle(boot, Range(first, count))
        self.pending.ledger.stored += frames - count_frames(removed)
        self.pending.note_number(boot, first + count)
        self._release(entry.key for entry in removed)

    def _replay_drop(self, record: Record) -> None:
        reason, newcomers, frames = _DROP.unpack_from(record.body)
        packet = self._open(record.body[_DROP.size :])
        removed = self.pending.named_in(packet)
        decision = Drop(packet, Reason(reason), newcomers, removed, frames)
        self._book_drop(decision, record.place)

    def _write_drop(self, decision: Drop) -> None:
        head = _DROP.pack(decision.reason, decision.newcomers, decision.frames)
        self._book_drop(
            decision, self._append(RecordType.DROP, head + pack(self._seal(decision.packet)))
        )

    def _book_drop(self, decision: Drop, place: Place) -> None:
        self.pending.apply(decision)
        self._release(decision.removed)
        bare = Place(place.segment, place.offset + _DROP.size, place.length - _DROP.size)
        self._locate(PacketKey(decision.packet.boot, decision.packet.pkt), bare)

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

    def _append(self, kind: RecordType, body: bytes) -> Place:
        need_bytes = OVERHEAD_BYTES + len(body)
        if self._journal.active_bytes + need_bytes > self._segment_bytes:
            self._roll()
        self._clean(need_bytes)
        return self._journal.append(kind, body)

    def _roll(self) -> None:
        ledger = self.pending.ledger
        state = {
            "captured": ledger.captured,
            "stored": ledger.stored,
            "dropped": {int(reason): n for reason, n in ledger.dropped.items()},
            "next": self.pending.next_numbers(),
        }
        self._journal.roll()
        self._journal.append(RecordType.CHECKPOINT, json.dumps(state).encode())
        self._unsynced = 0

    def _clean(self, need_bytes: int) -> None:
        """Delete settled segments from the oldest on; under pressure, move packets out first."""
        passes = len(self._journal.segments)
        while len(self._journal.segments) > 1:
            oldest = self._journal.segments[0]
            if self._in_segment.get(oldest):
                if not self._under_pressure(need_bytes):
                    return
                if passes == 0:
                    raise OutboxError(f"{self._folder}: outbox is full; raise outbox.max_bytes")
                passes -= 1
                self._carry(oldest)
            self._journal.delete(oldest)
            self._in_segment.pop(oldest, None)

    def _under_pressure(self, need_bytes: int) -> bool:
        room_bytes = self._max_bytes - 2 * self._segment_bytes - self._journal.size_bytes
        return need_bytes > room_bytes or len(self._journal.segments) > MOST_SEGMENTS

    def _carry(self, segment: int) -> None:
        for key in sorted(self._in_segment[segment]):
            body = self._journal.read(self._places[key])
            if self._journal.active_bytes + OVERHEAD_BYTES + len(body) > self._segment_bytes:
                self._roll()
            self._locate(key, self._journal.append(RecordType.CARRY, body))
        self._journal.sync()

    def _locate(self, key: PacketKey, place: Place) -> None:
        self._release([key])
        self._places[key] = place
        self._in_segment.setdefault(place.segment, set()).add(key)

    def _release(self, keys: Iterable[PacketKey]) -> None:
        for key in keys:
            if place := self._places.pop(key, None):
                self._in_segment[place.segment].discard(key)

    def _count_unsynced(self, now_ns: int) -> None:
        if self._unsynced == 0:
            self._unsynced_ns = now_ns
        self._unsynced += 1
        full = self._durability == "frame" or self._unsynced >= BATCH_PACKETS
        if full or now_ns - self._unsynced_ns >= BATCH_NS:
            self._sync()

    def _sync(self) -> None:
        self._journal.sync()
        self._unsynced = 0

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            remedy = "free space" if fault.errno == errno.ENOSPC else "check outbox.path and disk"
            reason = fault.strerror or "cannot be used"
            raise OutboxError(f"{self._folder}: outbox: {reason}; {remedy}") from fault


def _lock(folder: Path) -> int:
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        os.close(file)
        raise OutboxError(
            f"{folder}: outbox is in use by another process; stop it or change outbox.path"
        ) from fault
    return file


_HANDLERS: dict[RecordType, Callable[[Outbox, Record], None]] = {
    RecordType.CHECKPOINT: Outbox._replay_checkpoint,
    RecordType.PUT: Outbox._replay_packet,
    RecordType.CARRY: Outbox._replay_packet,
    RecordType.SETTLED: Outbox._replay_settled,
    RecordType.DROP: Outbox._replay_drop,
}
