"""Where packets lie, whatever the media do: memory first, and the disk for what stays.

No method raises because a medium fails, save `Storage.read`: what cannot be done is refused or
done later, and `Storage.troubles` says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tactic_delivery.entry import PacketKey
from tactic_device.journal import OVERHEAD_BYTES
from tactic_device.lead import NUMBERS_AHEAD, Lead
from tactic_device.records import RecordType
from tactic_device.shelf import Shelf
from tactic_device.trouble import Troubles, What

BATCH_PACKETS = 16
BATCH_NS = 1_000_000_000
# A segment in memory is written to for this part of the time after which packets are spilled.
_ROLLS = 8
_MOST_READS = 3


class Storage:
    """Keeps packets in the logs of a `Lead`.

    Parameters
    ----------
    lead : Lead
    spill_after_ns : int or None
        How long a packet may lie in memory only; None: memory is emptied and never leads.
    sync_each : bool
        While the disk leads, sync every packet, not every 16 packets or second.
    """

    def __init__(self, lead: Lead, spill_after_ns: int | None, sync_each: bool) -> None:
        self.troubles = Troubles()
        self._lead = lead
        self._disk = lead.disk
        self._spill_after_ns = spill_after_ns
        self._sync_each = sync_each
        self._afloat: dict[PacketKey, bytes] = {}
        self._failed_reads: dict[PacketKey, int] = {}
        self._suspect: int | None = None
        self._batch_ns = 0
        self._told_ns = 0
        self._told = (0, 0)
        self._now_ns = 0

    @property
    def largest_bytes(self) -> int:
        """The largest packet that every log takes."""
        return min(shelf.segment_bytes for shelf in self._lead.shelves) // 2

    def open(self, now_ns: int) -> None:
        """Begin a run: everything moves to the disk; then memory leads, if it is to."""
        self._set_time(now_ns)
        if self._to_disk() and self._spill_after_ns is None:
            self._empty_memory()
        self._to_memory()

    def close(self) -> None:
        """Move everything to the disk and release the files."""
        self._lead.closing = True
        if self._lead.memory_leads or self.troubles.has(self._disk.name, "write"):
            closed = self._to_disk()
        else:
            closed = self._attempt(self._disk, self._lead.tell_disk)
        if closed:
            self._empty_memory()
        for shelf in self._lead.shelves:
            shelf.close()

    def crowd(self, size_bytes: int) -> tuple[int, list[PacketKey]] | None:
        """Room in memory for a packet, and what waits there; None if the packet fits.

        What waits there for longest moves to the disk first, if the disk takes it.
        """
        memory = self._lead.memory
        if memory is None or not self._lead.memory_leads:
            return None
        capacity_bytes = memory.max_bytes // 2
        while memory.waiting_bytes + OVERHEAD_BYTES + size_bytes > capacity_bytes:
            if not self._spill(memory.journal.segments[:1]):
                return capacity_bytes - memory.waiting_bytes, list(memory.keys)
        return None

    def write(
        self, kind: RecordType, body: bytes, key: PacketKey | None = None, skip: int = 0
    ) -> bool:
        """Write a change to the log that leads; False if that is impossible.

        Parameters
        ----------
        kind : RecordType
        body : bytes
        key : PacketKey or None
            The packet that the body is, without its first ``skip`` bytes.
        skip : int
        """
        log = self._lead.log
        if self.troubles.has(log.name, "write"):
            return False
        try:
            self._prepare(log, OVERHEAD_BYTES + len(body))
            place = log.append(kind, body)
        except OSError as fault:
            self._fail(log, fault)
            return self._lead.memory_leads and self._to_disk() and self.write(kind, body, key, skip)
        if key:
            log.locate(key, place._replace(skip=skip))
            self._count_unsynced()
        return True

    def float(self, key: PacketKey, data: bytes) -> None:
        """Hold a DROP packet in this process until a log takes it."""
        self._afloat[key] = data

    def forget(self, keys: Iterable[PacketKey]) -> None:
        """Packets wait no more."""
        for key in keys:
            self._afloat.pop(key, None)
            self._failed_reads.pop(key, None)
            for shelf in self._lead.shelves:
                shelf.release([key])

    def clean(self) -> None:
        """Delete what can go from the log that leads; it knows already what waits no more."""
        self._lead.log.gone.clear()
        self._clean(self._lead.log)

    def read(self, key: PacketKey) -> bytes | None:
        """Read a packet; None if it is damaged.

        Raises
        ------
        OSError
            It cannot be read now.
        """
        if key in self._afloat:
            return self._afloat[key]
        shelf = next((s for s in reversed(self._lead.shelves) if key in s), None)
        if shelf is None:
            return None
        try:
            data = shelf.read(key)
        except OSError as fault:
            self.troubles.note(shelf.name, "read", fault, self._now_ns)
            if self._is_hopeless(shelf, key):
                return None
            raise
        self.troubles.over(shelf.name, "read")
        return data

    def tend(self, now_ns: int) -> list[PacketKey]:
        """Sync, spill, account and retry what is due; return packets found damaged."""
        self._set_time(now_ns)
        for shelf in self._lead.shelves:
            if self.troubles.has(shelf.name, "delete"):
                self._clean(shelf)
            if self.troubles.is_due(shelf.name, "write", now_ns):
                self._retry(shelf)
        self.troubles.outlive_reads(now_ns)
        if self._lead.memory_leads:
            self._spill_due()
            self._tell_disk()
        elif self._disk.unsynced and now_ns - self._batch_ns >= BATCH_NS:
            self._attempt(self._disk, self._disk.sync)
        return [key for shelf in self._lead.shelves for key in sorted(shelf.damaged)]

    def _set_time(self, now_ns: int) -> None:
        self._now_ns = now_ns
        for shelf in self._lead.shelves:
            shelf.now_ns = now_ns

    def _attempt(self, shelf: Shelf, action: Callable[[], None], what: What = "write") -> bool:
        try:
            action()
        except OSError as fault:
            self._fail(shelf, fault, what)
            return False
        return True

    def _fail(self, shelf: Shelf, fault: OSError, what: What = "write") -> None:
        self.troubles.note(shelf.name, what, fault, self._now_ns)
        if shelf is self._disk and what == "write" and shelf.unsynced and shelf.journal.segments:
            # What a failed sync was to write may be gone from the medium.
            self._suspect = shelf.journal.active

    def _works(self, shelf: Shelf) -> None:
        self.troubles.over(shelf.name, "write")
        if shelf is self._lead.log:
            self._afloat.clear()
        if shelf is self._disk:
            self._suspect = None

    def _retry(self, shelf: Shelf) -> None:
        if shelf is not self._lead.log and shelf is not self._disk:
            self._to_memory()
        elif not self._restart(shelf) and shelf is not self._disk:
            self._to_disk()

    def _restart(self, shelf: Shelf) -> bool:
        afloat = list(self._afloat.items()) if shelf is self._lead.log else []
        suspect = self._suspect if shelf is self._disk else None
        if not self._attempt(shelf, lambda: self._lead.restart(shelf, afloat, suspect)):
            return False
        self._works(shelf)
        return True

    def _to_disk(self) -> bool:
        memory = self._lead.memory if self._lead.memory_leads else None
        packets = memory.collect(memory.keys) if memory else []
        packets += self._afloat.items()
        if self._attempt(self._disk, lambda: self._lead.to_disk(packets)):
            self._works(self._disk)
            return True
        if memory:
            self._restart(memory)  # the disk may name the new epoch already
        return False

    def _to_memory(self) -> None:
        memory = self._lead.memory
        if memory is None or self._spill_after_ns is None or self._lead.memory_leads:
            return
        afloat = list(self._afloat.items())
        if self._attempt(memory, lambda: self._lead.to_memory(afloat)):
            self._works(memory)
            self._tell_disk(now=True)

    def _prepare(self, log: Shelf, need_bytes: int) -> None:
        if log is self._disk:
            return
        begun_ns = log.begun_ns.get(log.journal.active, 0)
        if self._now_ns - begun_ns >= (self._spill_after_ns or 0) // _ROLLS:
            log.roll()
        while log.presses(need_bytes) and self._spill(log.journal.segments[:1]):
            pass

    def _spill(self, segments: list[int]) -> bool:
        """Move segments of memory to the disk; False if they are still there."""
        memory = self._lead.memory
        if memory is None or self.troubles.has(self._disk.name, "write"):
            return False
        if memory.journal.active in segments and not self._attempt(memory, memory.roll):
            return False
        packets = memory.collect(key for number in segments for key in memory.keys_in(number))
        if not self._attempt(self._disk, lambda: self._lead.spill(packets)):
            return False
        self._clean(memory)
        return not set(segments) & set(memory.journal.segments)

    def _spill_due(self) -> None:
        memory = self._lead.memory
        assert memory
        latest_ns = self._now_ns - (self._spill_after_ns or 0)
        due = [n for n in memory.journal.segments if memory.begun_ns.get(n, 0) <= latest_ns]
        if any(memory.holds(number) for number in due):
            self._spill(due)

    def _tell_disk(self, now: bool = False) -> None:
        if self.troubles.has(self._disk.name, "write"):
            return
        progress = self._lead.progress
        ahead = progress[0] - self._told[0] >= NUMBERS_AHEAD // 2
        late = self._now_ns - self._told_ns >= (self._spill_after_ns or 0)
        due = now or ahead or (late and progress != self._told)
        if due and self._attempt(self._disk, self._lead.tell_disk):
            self._told, self._told_ns = progress, self._now_ns
        if self._disk.settled():
            self._clean(self._disk)

    def _count_unsynced(self) -> None:
        if self._lead.memory_leads:
            return
        if not self._disk.unsynced:
            self._batch_ns = self._now_ns
        self._disk.unsynced += 1
        if self._sync_each or self._disk.unsynced >= BATCH_PACKETS:
            self._attempt(self._disk, self._disk.sync)

    def _clean(self, shelf: Shelf) -> None:
        if self.troubles.waits(shelf.name, "delete", self._now_ns):
            return
        if self._attempt(shelf, shelf.clean, "delete"):
            self.troubles.over(shelf.name, "delete")

    def _empty_memory(self) -> None:
        if self._lead.memory:
            self._attempt(self._lead.memory, self._lead.memory.remove)

    def _is_hopeless(self, shelf: Shelf, key: PacketKey) -> bool:
        """Whether a packet cannot be read again and again, although its medium works."""
        if self.troubles.has(shelf.name, "write"):
            return False
        if not self._attempt(shelf, lambda: self._lead.account(shelf, False)):
            return False
        if not self._attempt(shelf, shelf.sync):
            return False
        self._failed_reads[key] = self._failed_reads.get(key, 0) + 1
        return self._failed_reads[key] >= _MOST_READS
