"""From the logs of an outbox to what it holds.

Each log is read once, from its beginning; every account of it overrules what was before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tactic_codec import drop
from tactic_codec.drop import Reason
from tactic_codec.errors import PacketError
from tactic_codec.packet import Kind, Packet
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.keyset import KeySet
from tactic_delivery.ledger import Ledger
from tactic_device.errors import OutboxError
from tactic_device.journal import Place, Record
from tactic_device.records import (
    DROP_HEAD_BYTES,
    UNSYNCED_NUMBERS,
    Account,
    Dropped,
    RecordType,
    Settled,
)
from tactic_device.shelf import Shelf

Opener = Callable[[bytes], Packet]


@dataclass(slots=True)
class Found:
    """A packet of the log and what its DROP payload says."""

    entry: Entry
    place: Place
    records: tuple[drop.DropRecord, ...] = ()


class LogReader:
    """Follows one log, record by record.

    Attributes
    ----------
    found : dict of PacketKey to Found
        Every packet that can be read, whether or not it still waits.
    here, elsewhere : KeySet
        What waits in this log and, as far as it knows, in the other one.
    account : Account or None
        The last one.
    """

    def __init__(self, opener: Opener) -> None:
        self.found: dict[PacketKey, Found] = {}
        self.here = KeySet()
        self.elsewhere = KeySet()
        self.ledger = Ledger()
        self.following: dict[int, int] = {}
        self.account: Account | None = None
        self._open = opener

    def follow(self, record: Record) -> None:
        """Take one record into account."""
        if record.type == RecordType.ACCOUNT:
            self._on_account(Account.unpack(record.body))
        elif record.type == RecordType.PACKET:
            self._on_packet(record.body, record.place)
        elif record.type == RecordType.SETTLED:
            self._on_settled(Settled.unpack(record.body))
        elif record.type == RecordType.DROP:
            self._on_drop(record)
        else:
            raise ValueError(f"record of type {record.type}")

    def _on_account(self, account: Account) -> None:
        self.account = account
        self.ledger = account.ledger
        for boot, following in account.following.items():
            self._note(boot, following)
        self.elsewhere = account.elsewhere
        if account.whole:
            self.here = account.here
        for r in account.gone.ranges():
            self.here.discard_range(*r)

    def _on_packet(self, data: bytes, place: Place) -> Packet:
        packet = self._open(data)
        entry = Entry.of(packet)
        drops = packet.kind is Kind.DROP
        records = drop.unpack(packet.payload) if drops else ()
        self.found[entry.key] = Found(entry, place, records)
        if entry.key not in self.here and entry.key not in self.elsewhere:
            self.ledger.captured += packet.kind is Kind.FRAME
        self.here.add(entry.key)
        self.elsewhere.discard(entry.key)
        self._note(packet.boot, packet.pkt + 1)
        return packet

    def _on_settled(self, change: Settled) -> None:
        self._discard(change.boot, *change.settled)
        self.ledger.stored += change.frames

    def _on_drop(self, record: Record) -> None:
        change = Dropped.unpack(record.body)
        place = record.place._replace(skip=DROP_HEAD_BYTES)
        packet = self._on_packet(record.body[DROP_HEAD_BYTES:], place)
        for r in drop.unpack(packet.payload):
            self._discard(packet.boot, r.first, r.count)
        self.ledger.captured += change.newcomers
        if given_up := change.frames + change.newcomers:
            self.ledger.dropped[change.reason] += given_up

    def _discard(self, boot: int, first: int, count: int) -> None:
        self.here.discard_range(boot, first, count)
        self.elsewhere.discard_range(boot, first, count)

    def _note(self, boot: int, following: int) -> None:
        self.following[boot] = max(self.following.get(boot, 0), following)


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
    why : Reason
        Why not.
    spare : dict of int to int
        For a boot, how many further numbers may have been used.
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
    why: Reason = Reason.DAMAGED
    spare: dict[int, int] = field(default_factory=dict)
    memory_counts: bool = False
    epoch: int = 0
    base: int = 0
    damaged_bytes: int = 0


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
    base = _read(disk, opener)
    front = _read(memory, opener) if memory else None
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
    lost_memory = front is None and log.account is not None and not log.account.leads
    recovered.why = Reason.LOST if lost_memory else Reason.DAMAGED
    shelf = memory if front and memory else disk
    if log.account and not _is_exact(log.account, shelf.journal.ends_well, machine):
        recovered.spare = {log.account.boot: max(log.account.spare, UNSYNCED_NUMBERS)}
    _close(recovered)
    shelves = [disk, memory] if memory else [disk]
    recovered.damaged_bytes = sum(each.journal.damaged_bytes for each in shelves)
    return recovered


def _read(shelf: Shelf, opener: Opener) -> LogReader:
    reader = LogReader(opener)
    for record in shelf.journal.replay():
        try:
            reader.follow(record)
        except (ValueError, KeyError, TypeError, struct.error, PacketError) as fault:
            # Its check is right, so it was written like this.
            raise OutboxError(
                f"{shelf.folder}: outbox was written by another version of tactic; use that "
                "version, or change outbox.path"
            ) from fault
    return reader


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
    for key in recovered.held:
        recovered.lost.discard(key)


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
