"""The disk and memory as things that fail: what goes wrong is noted, and tried again later.

No method raises because a medium fails; each says whether it did what it was to do.
"""

from __future__ import annotations

from collections.abc import Callable

from tactic_delivery.entry import PacketKey
from tactic_device.lead import Lead
from tactic_device.shelf import Shelf
from tactic_device.trouble import Troubles, What


class Media:
    """The logs of a `Lead`.

    Parameters
    ----------
    lead : Lead
    memory_may_lead : bool
        Else memory is emptied, and does not lead again.

    Attributes
    ----------
    troubles : Troubles
    now_ns : int
        Monotonic time.
    afloat : dict of PacketKey to bytes
        DROP packets that no log has taken yet.
    """

    def __init__(self, lead: Lead, memory_may_lead: bool) -> None:
        self.lead = lead
        self.troubles = Troubles()
        self.now_ns = 0
        self.afloat: dict[PacketKey, bytes] = {}
        self._memory_may_lead = memory_may_lead
        self._suspects: set[int] = set()

    @property
    def disk(self) -> Shelf:
        """The disk's shelf."""
        return self.lead.disk

    def set_time(self, now_ns: int) -> None:
        """Tell everybody what time it is."""
        self.now_ns = now_ns
        for shelf in self.lead.shelves:
            shelf.now_ns = now_ns

    def writes(self, shelf: Shelf) -> bool:
        """Whether a medium takes anything, as far as is known."""
        return not self.troubles.has(shelf.name, "write")

    def attempt(self, shelf: Shelf, action: Callable[[], None], what: What = "write") -> bool:
        """Do something with a medium; False if that fails."""
        try:
            action()
        except OSError as fault:
            self.fail(shelf, fault, what)
            return False
        return True

    def fail(self, shelf: Shelf, fault: OSError, what: What = "write") -> None:
        """Note a fault."""
        self.troubles.note(shelf.name, what, fault, self.now_ns)
        if shelf is self.disk and what == "write" and shelf.unsynced and shelf.journal.segments:
            # What a failed sync was to write may be gone from the medium.
            self._suspects.add(shelf.journal.active)

    def sync_older(self) -> None:
        """Force onto the disk what an earlier process wrote: it may have ended before that."""
        for number in self.disk.journal.segments:
            try:
                self.disk.journal.sync_older(number)
            except OSError as fault:
                self.fail(self.disk, fault)
                self._suspects.add(number)

    def clean(self, shelf: Shelf) -> None:
        """Delete what can go. Where that fails, the log goes on without."""
        if self.troubles.waits(shelf.name, "delete", self.now_ns):
            return
        if self.attempt(shelf, shelf.clean, "delete"):
            self.troubles.over(shelf.name, "delete")

    def retry(self) -> None:
        """Try again what failed a while ago."""
        for shelf in self.lead.shelves:
            if self.troubles.has(shelf.name, "delete"):
                self.clean(shelf)
            if self.troubles.is_due(shelf.name, "write", self.now_ns):
                if shelf is not self.lead.log and shelf is not self.disk:
                    self.to_memory()
                elif not self._restart(shelf) and shelf is not self.disk:
                    self.to_disk()
        self.troubles.outlive_reads(self.now_ns)

    def to_disk(self) -> bool:
        """Move everything to the disk and let it lead.

        At the end of a run, memory leads on if a packet in it cannot be read: the next may be able
        to. That needs a memory that takes changes.
        """
        memory = self.lead.memory if self.lead.memory_leads else None
        packets = memory.collect(memory.keys) if memory else []
        packets += self.afloat.items()
        if self.lead.closing and memory and memory.damaged and self.writes(memory):
            self.attempt(self.disk, lambda: self.lead.leave(packets))
            return False
        if self.attempt(self.disk, lambda: self.lead.to_disk(packets, self._suspects)):
            self._works(self.disk)
            return True
        if memory:
            self._restart(memory)  # the disk may name the new epoch already
        return False

    def to_memory(self) -> None:
        """Let memory lead, if it may."""
        memory = self.lead.memory
        if memory is None or not self._memory_may_lead or self.lead.memory_leads:
            return
        afloat = list(self.afloat.items())
        if self.attempt(memory, lambda: self.lead.to_memory(afloat)):
            self._works(memory)
            if self.writes(self.disk):
                self.attempt(self.disk, self.lead.tell_disk)

    def empty_memory(self) -> None:
        """Delete what lies in memory: it no longer counts."""
        if self.lead.memory:
            self.attempt(self.lead.memory, self.lead.memory.remove)

    def answers(self, shelf: Shelf) -> bool:
        """Whether a medium takes something right now, and keeps it."""
        return (
            self.writes(shelf)
            and self.attempt(shelf, lambda: self.lead.account(shelf, False))
            and self.attempt(shelf, shelf.sync)
        )

    def _restart(self, shelf: Shelf) -> bool:
        afloat = list(self.afloat.items()) if shelf is self.lead.log else []
        suspects = self._suspects if shelf is self.disk else set[int]()
        if not self.attempt(shelf, lambda: self.lead.restart(shelf, afloat, suspects)):
            return False
        self._works(shelf)
        return True

    def _works(self, shelf: Shelf) -> None:
        self.troubles.over(shelf.name, "write")
        if shelf is self.lead.log:
            self.afloat.clear()
        if shelf is self.disk:
            self._suspects.clear()
