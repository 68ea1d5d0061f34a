"""From the logs of an outbox to what it holds: which log counts, and what nobody has any more."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tactic_codec.drop import Reason
from tactic_codec.packet import Kind
from tactic_delivery.entry import PacketKey
from tactic_delivery.keyset import KeySet
from tactic_delivery.ledger import Ledger
from tactic_delivery.pending import Pending
from tactic_device.records import UNSYNCED_NUMBERS, Account
from tactic_device.replay import Found, LogReader, Opener, read
from tactic_device.shelf import Shelf


@dataclass(slots=True)
class Recovered:
    """What an outbox holds after a restart.

    Attributes
    ----------
    ledger : Ledger
        Closes: what cannot be found again is in ``dropped``.
    following : dict of int to int
        Next packet number of boots.
    held : dict of PacketKey to Found
        What waits, oldest first.
    lost : KeySet
        What waits as far as is known, and cannot be found.
    lost_parts : KeySet
        The same, of PARTs.
    why : Reason
        Why not.
    skipped : KeySet
        Numbers of which nothing is known but that later ones were used.
    spare : dict of int to int
        How many further numbers may have been used of a boot: also of an older one, for DROPs.
    memory_counts : bool
        Whether the log in memory is the one that was written to last.
    epoch, base : int
        The last epoch, and the last that the disk names.
    damaged_bytes : int
        Of both logs.
    """

    ledger: Ledger = field(default_factory=Ledger)
    following: dict[int, int] = field(default_factory=dict)
    held: dict[PacketKey, Found] = field(default_factory=dict)
    lost: KeySet = field(default_factory=KeySet)
    lost_parts: KeySet = field(default_factory=KeySet)
    why: Reason = Reason.DAMAGED
    skipped: KeySet = field(default_factory=KeySet)
    spare: dict[int, int] = field(default_factory=dict)
    memory_counts: bool = False
    epoch: int = 0
    base: int = 0
    damaged_bytes: int = 0

    @property
    def highest_boot(self) -> int:
        """The highest boot number that is known."""
        return max(self.following, default=0)

    def restore(self, pending: Pending, expires_ns: int | None) -> None:
        """Book everything; what waits gets a deadline of this run."""
        pending.ledger = self.ledger
        for boot, following in self.following.items():
            pending.note_number(boot, following)
        for found in self.held.values():
            entry = found.entry
            if expires_ns is not None and entry.kind is not Kind.DROP:
                entry = replace(entry, expires_ns=expires_ns)
            pending.restore(entry, found.records)


def recover(disk: Shelf, memory: Shelf | None, opener: Opener, machine: int) -> Recovered:
    """Read both logs, find out which of them counts, and where every packet lies.

    Parameters
    ----------
    disk : Shelf
    memory : Shelf or None
        Gets the places of its packets, as ``disk`` does; nothing if its log does not count.
    opener : callable (bytes) -> Packet
        Reads a packet, opening a sealed DROP.
    machine : int
        Which start of the machine this is.

    Raises
    ------
    OutboxError
        A log was written by another version.
    """
    with _no_collection():
        return _recover(disk, memory, opener, machine)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Of the many objects made and kept, none is garbage: looking takes half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _recover(disk: Shelf, memory: Shelf | None, opener: Opener, machine: int) -> Recovered:
    base = read(disk, opener)
    front = read(memory, opener) if memory else None
    if front is None or not _belongs(front.account, base.account):
        front = None
    log = front or base
    recovered = Recovered(log.ledger, log.following, memory_counts=front is not None)
    recovered.base = base.account.epoch if base.account else 0
    recovered.epoch = max(recovered.base, log.account.epoch if log.account else 0)
    for shelf, reader in ((disk, base), (memory, front)):
        if shelf and reader:
            _place(shelf, reader, log, recovered)
    _find_lost(log, recovered)
    recovered.skipped = log.skipped
    for key in recovered.held:
        recovered.skipped.discard(key)
    lost_memory = front is None and log.account is not None and not log.account.leads
    recovered.why = Reason.LOST if lost_memory else Reason.DAMAGED
    shelf = memory if front and memory else disk
    if log.account and not _is_exact(log.account, shelf.journal.ends_well, machine):
        count = max(log.account.spare, UNSYNCED_NUMBERS)
        recovered.spare = dict.fromkeys(log.following, count)
    _close(recovered)
    shelves = [disk, memory] if memory else [disk]
    recovered.damaged_bytes = sum(each.journal.damaged_bytes for each in shelves)
    return recovered


def _belongs(front: Account | None, base: Account | None) -> bool:
    """Whether a log in memory goes on from what the disk knows."""
    if front is None or base is None:
        return front is not None
    return front.base <= base.epoch <= front.epoch


def _place(shelf: Shelf, reader: LogReader, log: LogReader, recovered: Recovered) -> None:
    for key, found in reader.found.items():
        if key in log.here or key in log.elsewhere:
            shelf.locate(key, found.place)
            recovered.held[key] = found


def _find_lost(log: LogReader, recovered: Recovered) -> None:
    for keys in (log.here, log.elsewhere):
        for r in keys.ranges():
            recovered.lost.add_range(*r)
    if len(recovered.lost) == len(recovered.held):
        recovered.lost.clear()
        return
    for key in recovered.held:
        recovered.lost.discard(key)
    for key in log.parts:
        if key in recovered.lost:
            recovered.lost.discard(key)
            recovered.lost_parts.add(key)


def _is_exact(account: Account, ends_well: bool, machine: int) -> bool:
    """Whether nothing was written, or numbered, after what could be read."""
    return ends_well and (account.spare == 0 or (account.leads and account.machine == machine))


def _close(recovered: Recovered) -> None:
    """Make the ledger close: what it says is pending is what is held."""
    ledger = recovered.ledger
    frames = sum(found.entry.kind is Kind.FRAME for found in recovered.held.values())
    lost = ledger.pending - frames
    if lost > 0:
        ledger.dropped[recovered.why] += lost
    # Frames whose acknowledgement was lost with a damaged record are sent and counted again.
    ledger.stored += min(lost, 0)
    recovered.held = dict(sorted(recovered.held.items()))
