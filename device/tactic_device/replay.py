"""Reading one log of an outbox, record by record; an account overrules what was before."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from tactic_codec import drop
from tactic_codec.errors import PacketError
from tactic_codec.packet import Kind, Packet
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.keyset import KeySet
from tactic_delivery.ledger import Ledger
from tactic_device.errors import OutboxError
from tactic_device.journal import Place, Record
from tactic_device.records import (
    DROP_HEAD_BYTES,
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
    parts : KeySet
        PARTs among them, and perhaps some that wait no more.
    skipped : KeySet
        Numbers below later ones, of which neither the last account nor a record since then tells.
    account : Account or None
        The last one.
    """

    def __init__(self, opener: Opener) -> None:
        self.found: dict[PacketKey, Found] = {}
        self.here = KeySet()
        self.elsewhere = KeySet()
        self.parts = KeySet()
        self.skipped = KeySet()
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
        self.skipped.clear()
        self.elsewhere = account.elsewhere
        self.parts = account.parts
        if account.whole:
            self.here = account.here
        for r in account.gone.ranges():
            self.here.discard_range(*r)
        waiting = [*self.here.ranges(), *self.elsewhere.ranges()]
        for boot, following in account.following.items():
            # What was written went on after a number that was taken and had no record yet.
            tops = [first + count for of, first, count in waiting if of == boot]
            known = max([following, self.following.get(boot, 0), *tops])
            self._skip(boot, following, known)
            self.following[boot] = known
        for r in waiting:
            self.skipped.discard_range(*r)

    def _on_packet(self, data: bytes, place: Place) -> Packet:
        packet = self._open(data)
        entry = Entry.of(packet)
        drops = packet.kind is Kind.DROP
        records = drop.unpack(packet.payload) if drops else ()
        self.found[entry.key] = Found(entry, place, records)
        if entry.key in self.elsewhere:
            self.elsewhere.discard(entry.key)
        elif entry.key not in self.here:
            self.ledger.captured += packet.kind is Kind.FRAME
        self.here.add(entry.key)
        if packet.kind is Kind.PART:
            self.parts.add(entry.key)
        self._note(entry.key)
        for r in records:
            self.skipped.discard_range(packet.boot, r.first, r.count)
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
        self.skipped.discard_range(boot, first, count)

    def _note(self, key: PacketKey) -> None:
        following = self.following.get(key.boot, 0)
        self._skip(key.boot, following, key.pkt)
        self.skipped.discard(key)
        self.following[key.boot] = max(following, key.pkt + 1)

    def _skip(self, boot: int, first: int, stop: int) -> None:
        if stop > first:
            self.skipped.add_range(boot, first, stop - first)


def read(shelf: Shelf, opener: Opener) -> LogReader:
    """Read the log of a shelf.

    Raises
    ------
    OutboxError
        It was written by another version.
    """
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
