"""Where packets lie, whatever the media do: memory first, and the disk for what stays.

No method raises because a medium fails, save `Storage.read`: what cannot be done is refused or
done later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tactic_delivery.entry import Entry, PacketKey
from tactic_device.lead import Lead
from tactic_device.media import Media
from tactic_device.records import RecordType
from tactic_device.shelf import Shelf
from tactic_device.spill import Spill

BATCH_PACKETS = 16
BATCH_NS = 1_000_000_000

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
        self.media = Media(lead, memory_may_lead=spill_after_ns is not None)
        self._lead = lead
        self._disk = lead.disk
        self.spill = Spill(self.media, spill_after_ns or 0)
        self._spills = spill_after_ns is not None
        self._sync_each = sync_each
        self._failed_reads: dict[PacketKey, int] = {}
        self._batch_ns = 0

    @property
    def largest_bytes(self) -> int:
        """The largest packet that every log takes."""
        return min(shelf.segment_bytes for shelf in self._lead.shelves) // 2

    def open(self, now_ns: int) -> None:
        """Begin a run: everything moves to the disk; then memory leads, if it is to."""
        self.media.set_time(now_ns)
        self.media.sync_older()
        if self.media.to_disk() and not self._spills:
            self.media.empty_memory()
        self.media.to_memory()

    def close(self) -> None:
        """Move everything that can be read to the disk and release the files."""
        self._lead.closing = True
        if self._lead.memory_leads or not self.media.writes(self._disk):
            closed = self.media.to_disk()
        else:
            closed = self.media.attempt(self._disk, self._lead.tell_disk)
        if closed:
            self.media.empty_memory()
        for shelf in self._lead.shelves:
            shelf.close()

    @contextmanager
    def in_hand(self, entry: Entry) -> Iterator[None]:
        """While a packet that has its number is being put."""
        self._lead.in_hand = entry
        try:
            yield
        finally:
            self._lead.in_hand = None

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
        if not self.media.writes(log):
            return False
        try:
            self.spill.make_way(len(body))
            place = log.append(kind, body)
        except OSError as fault:
            self.media.fail(log, fault)
            elsewhere = self._lead.memory_leads and self.media.to_disk()
            return elsewhere and self.write(kind, body, key, skip)
        if key:
            log.locate(key, place._replace(skip=skip))
            self._count(log)
        return True

    def float(self, key: PacketKey, data: bytes) -> None:
        """Hold a DROP packet in this process until a log takes it."""
        self.media.afloat[key] = data

    def forget(self, keys: Iterable[PacketKey]) -> None:
        """Packets wait no more."""
        for key in keys:
            self.media.afloat.pop(key, None)
            self._failed_reads.pop(key, None)
            for shelf in self._lead.shelves:
                shelf.release([key])

    def clean(self) -> None:
        """Delete what can go from the log that leads; it knows already what waits no more."""
        self._lead.log.gone.clear()
        self.media.clean(self._lead.log)

    def read(self, key: PacketKey) -> bytes | None:
        """Read a packet; None if it is damaged.

        Raises
        ------
        OSError
            It cannot be read now.
        """
        if key in self.media.afloat:
            return self.media.afloat[key]
        shelf = next((s for s in reversed(self._lead.shelves) if key in s), None)
        if shelf is None:
            return None
        try:
            data = shelf.read(key)
        except OSError as fault:
            self.media.fail(shelf, fault, "read")
            if self._is_hopeless(shelf, key):
                return None
            raise
        self.media.troubles.over(shelf.name, "read")
        return data

    def tend(self, now_ns: int) -> list[PacketKey]:
        """Sync, spill, account and retry what is due; return packets found damaged."""
        self.media.set_time(now_ns)
        self.media.retry()
        self.spill.tend()
        unsynced = self._disk.unsynced and not self._lead.memory_leads
        if unsynced and now_ns - self._batch_ns >= BATCH_NS:
            self._sync()
        return [key for shelf in self._lead.shelves for key in sorted(shelf.damaged)]

    def _count(self, log: Shelf) -> None:
        if log is self._disk:
            self._batch_ns = self._batch_ns if log.unsynced else self.media.now_ns
            log.unsynced += 1
            if self._sync_each or log.unsynced >= BATCH_PACKETS:
                self._sync()

    def _sync(self) -> None:
        if self.media.writes(self._disk):
            self.media.attempt(self._disk, self._disk.sync)

    def _is_hopeless(self, shelf: Shelf, key: PacketKey) -> bool:
        """Whether a packet cannot be read again and again, although its medium works."""
        if not self.media.answers(shelf):
            return False
        self._failed_reads[key] = self._failed_reads.get(key, 0) + 1
        return self._failed_reads[key] >= _MOST_READS
