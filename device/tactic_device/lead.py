"""Which of two logs leads, and the steps from one to the other.

The log that *leads* gets every change, and after a restart it counts. Memory leads while it can;
then the disk is only told now and then where everything stands. When another log takes the lead,
an epoch begins. A log in memory names the epochs of the disk that it goes on from, so that a stale
one is recognised.

Every method raises OSError when a medium fails. Nothing is lost then, and it can be tried again.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from tactic_codec.packet import Kind
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.keyset import KeySet
from tactic_delivery.pending import Pending
from tactic_device.records import UNSYNCED_NUMBERS, Account, RecordType
from tactic_device.shelf import Shelf

# So many numbers a boot may use before the disk is told again.
NUMBERS_AHEAD = 4096

_MACHINE = Path("/proc/sys/kernel/random/boot_id")

Packets = Iterable[tuple[PacketKey, bytes]]


class Lead:
    """The logs on the disk and in memory, and which of them leads.

    Parameters
    ----------
    pending : Pending
        What accounts are about.
    disk : Shelf
    memory : Shelf or None
    epoch, base : int
        The last one, and the last that the disk names.
    memory_leads : bool
        As the logs say.

    Attributes
    ----------
    in_hand : Entry or None
        A packet that has its number and is in no log yet.
    """

    def __init__(
        self,
        pending: Pending,
        disk: Shelf,
        memory: Shelf | None,
        epoch: int,
        base: int,
        memory_leads: bool,
    ) -> None:
        self.disk = disk
        self.memory = memory
        self.log = memory if memory and memory_leads else disk
        self.closing = False
        self.in_hand: Entry | None = None
        self._bringing = False
        self._pending = pending
        self._epoch = epoch
        self._base = base
        self._machine = machine()
        for shelf in self.shelves:
            shelf.write_account = partial(self.account, shelf)
            shelf.gone.clear()

    @property
    def shelves(self) -> list[Shelf]:
        """The disk, and memory if there is one."""
        return [self.disk, self.memory] if self.memory else [self.disk]

    @property
    def memory_leads(self) -> bool:
        """Whether changes are written to memory."""
        return self.log is self.memory

    @property
    def progress(self) -> tuple[int, int]:
        """Next packet number, and frames that were settled: what the disk is told of."""
        ledger = self._pending.ledger
        return self._pending.next_number, ledger.stored + ledger.dropped.total()

    def account(self, shelf: Shelf, whole: bool) -> None:
        """Write to a log where everything stands."""
        if shelf is self.disk and self.memory_leads and not self._bringing:
            self._bring_drops()
        shelf.journal.append(RecordType.ACCOUNT, self._account(shelf, whole).pack())
        shelf.gone.clear()

    def to_disk(self, packets: Packets, suspects: Iterable[int] = ()) -> None:
        """Copy packets to the disk, which leads from then on; memory counts no more.

        ``suspects`` as in `restart`. If it fails, the disk may know of the new epoch: memory must
        be told before anything else.
        """
        self.disk.begin()
        for key, data in packets:
            self.disk.keep(key, data)
        self.disk.move_from(suspects)
        former, self.log = self.log, self.disk
        self._epoch += 1
        try:
            self.tell_disk(whole=True)
        except OSError:
            self.log = former
            raise

    def to_memory(self, packets: Packets) -> None:
        """Let memory lead, and give it packets that are in no log."""
        assert self.memory
        self.memory.wipe()
        self.memory.begin()
        former, self.log = self.log, self.memory
        self._epoch += 1
        try:
            for key, data in packets:
                self.memory.keep(key, data)
            self.account(self.memory, True)
        except OSError:
            self.log = former
            raise

    def tell_disk(self, whole: bool = False) -> None:
        """Tell the disk where everything stands."""
        self.account(self.disk, whole)
        self.disk.sync()
        self._base = self._epoch

    def leave(self, packets: Packets) -> None:
        """Move to the disk what memory gives at the end of a run, in which it leads on."""
        self.spill(list(packets))
        self.tell_disk()

    def restart(self, shelf: Shelf, packets: Packets, suspects: Iterable[int] = ()) -> None:
        """Go on with a log after a fault: in a new segment, from a whole account.

        Parameters
        ----------
        shelf : Shelf
        packets : iterable of (PacketKey, bytes)
            That are in no log.
        suspects : iterable of int
            Segments whose last packets may not be on the medium, although they can be read.
        """
        shelf.begin()
        for key, data in packets:
            shelf.keep(key, data)
        self.account(shelf, True)
        shelf.move_from(suspects)
        shelf.sync()
        if shelf is self.disk:
            self._base = self._epoch

    def spill(self, packets: list[tuple[PacketKey, bytes]]) -> None:
        """Move packets from memory to the disk, in one batch."""
        assert self.memory
        if packets:
            for key, data in packets:
                self.disk.keep(key, data)
            self.tell_disk()
        self.memory.release(key for key, _ in packets)
        self.memory.gone.clear()

    def _account(self, shelf: Shelf, whole: bool) -> Account:
        other = self.disk if shelf is self.memory else self.memory
        ledger = self._pending.ledger
        elsewhere = self._elsewhere(other) if other else KeySet()
        parts = KeySet(self._pending.parts.ranges())
        if self.in_hand and shelf is not self.log:
            # It will be in the other log, and a power cut would leave nothing else that names it.
            ledger = replace(ledger, captured=ledger.captured + (self.in_hand.kind is Kind.FRAME))
            elsewhere = KeySet([*elsewhere.ranges(), (*self.in_hand.key, 1)])
            if self.in_hand.kind is Kind.PART:
                parts.add(self.in_hand.key)
        return Account(
            boot=self._pending.boot,
            epoch=self._epoch,
            base=self._base,
            leads=shelf is self.log,
            machine=self._machine,
            spare=self._spare(shelf),
            ledger=ledger,
            following=self._pending.next_numbers(),
            whole=whole,
            here=shelf.keys,
            gone=shelf.gone,
            elsewhere=elsewhere,
            parts=parts,
        )

    def _elsewhere(self, other: Shelf) -> KeySet:
        """What waits in the other log, and what memory does not give any more."""
        keys = KeySet(other.keys.ranges() if self.memory_leads else ())
        if self.memory:
            for key in self.memory.damaged:
                if key not in self.memory.keys or not self.memory_leads:
                    keys.add(key)
        return keys

    def _bring_drops(self) -> None:
        """Copy DROP packets out of memory: the disk is about to forget what they name."""
        assert self.memory
        self._bringing = True
        try:
            drops = [key for key in self._pending.drops if key in self.memory]
            for key, data in self.memory.collect(drops):
                self.disk.keep(key, data)
                self.memory.release([key])
            self.memory.gone.clear()
        finally:
            self._bringing = False

    def _spare(self, shelf: Shelf) -> int:
        if shelf is not self.log:
            return NUMBERS_AHEAD
        return 0 if self.memory_leads or self.closing else UNSYNCED_NUMBERS


def machine() -> int:
    """Which start of the machine this is; another one each time where that cannot be known."""
    try:
        return zlib.crc32(_MACHINE.read_bytes())
    except OSError:
        return int.from_bytes(os.urandom(4), "little")
