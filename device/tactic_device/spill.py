"""When packets move from memory to the disk, and when the disk is told where everything stands."""

from __future__ import annotations

from tactic_delivery.entry import PacketKey
from tactic_device.journal import OVERHEAD_BYTES
from tactic_device.lead import NUMBERS_AHEAD
from tactic_device.media import Media
from tactic_device.shelf import Shelf

# A segment in memory is written to for this part of the time after which packets move.
_ROLLS = 8


class Spill:
    """Keeps memory within its cap, and young.

    Parameters
    ----------
    media : Media
    after_ns : int
        How long a packet may lie in memory only; also how often the disk is told.
    """

    def __init__(self, media: Media, after_ns: int) -> None:
        self._media = media
        self._lead = media.lead
        self._after_ns = after_ns
        self._told_ns = 0
        self._told = (0, 0)

    def crowd(self, size_bytes: int) -> tuple[int, list[PacketKey]] | None:
        """Room in memory for a packet, and what waits there; None if the packet fits.

        What waits there for longest moves to the disk first, if the disk takes it.
        """
        memory = self._memory
        if memory is None:
            return None
        capacity_bytes = memory.max_bytes // 2
        while memory.waiting_bytes + OVERHEAD_BYTES + size_bytes > capacity_bytes:
            if not self._move(memory, memory.journal.segments[:1]):
                return capacity_bytes - memory.waiting_bytes, list(memory.keys)
        return None

    def make_way(self, body_bytes: int) -> None:
        """Prepare memory for a record: a new segment in time, and room.

        Raises
        ------
        OSError
            It takes nothing.
        """
        if memory := self._memory:
            begun_ns = memory.begun_ns.get(memory.journal.active, 0)
            if self._media.now_ns - begun_ns >= self._after_ns // _ROLLS:
                memory.roll()
            while memory.presses(OVERHEAD_BYTES + body_bytes):
                if not self._move(memory, memory.journal.segments[:1]):
                    return

    def tend(self) -> None:
        """Move what waits for too long; tell the disk what has changed."""
        if memory := self._memory:
            latest_ns = self._media.now_ns - self._after_ns
            due = [n for n in memory.journal.segments if memory.begun_ns.get(n, 0) <= latest_ns]
            if any(memory.holds(number) for number in due):
                self._move(memory, due)
            self._tell_disk()

    @property
    def _memory(self) -> Shelf | None:
        return self._lead.memory if self._lead.memory_leads else None

    def _move(self, memory: Shelf, segments: list[int]) -> bool:
        """Move segments to the disk; False if they are still in memory."""
        media = self._media
        if not media.writes(media.disk):
            return False
        if memory.journal.active in segments and not media.attempt(memory, memory.roll):
            return False
        packets = memory.collect(key for number in segments for key in memory.keys_in(number))
        if not media.attempt(media.disk, lambda: self._lead.spill(packets)):
            return False
        media.clean(memory)
        return not set(segments) & set(memory.journal.segments)

    def _tell_disk(self) -> None:
        disk = self._media.disk
        if not self._media.writes(disk):
            return
        progress = self._lead.progress
        ahead = progress[0] - self._told[0] >= NUMBERS_AHEAD // 2
        late = self._media.now_ns - self._told_ns >= self._after_ns and progress != self._told
        if (ahead or late) and self._media.attempt(disk, self._lead.tell_disk):
            self._told, self._told_ns = progress, self._media.now_ns
        if disk.settled():
            self._media.clean(disk)
