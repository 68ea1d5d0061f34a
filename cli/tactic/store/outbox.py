"""A node's outbox, read as it lies there: for an audit of a node that is switched off."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tactic_codec.node_key import NodeKey
from tactic_codec.packet import Kind, Packet, unpack
from tactic_delivery.keyset import KeySet
from tactic_device.errors import OutboxError
from tactic_device.journal import Journal
from tactic_device.replay import LogReader
from tactic_gateway.audit import Outbox


def read_outbox(folder: Path, key: NodeKey | None) -> Outbox:
    """Read the log in a folder; nothing is changed, and nothing may be running.

    Parameters
    ----------
    folder : Path
        As in ``outbox.path`` of the node's configuration.
    key : NodeKey or None
        Of a node that seals its packets.

    Raises
    ------
    OutboxError
        There is none, or what it says last lay in the memory of the node.
    """

    def opened(data: bytes) -> Packet:
        packet = unpack(data, sealed=True)
        if not packet.sealed or packet.kind is not Kind.DROP:
            return packet
        if key is None:
            raise OutboxError(f"{folder}: sealed; set gateway.keys to where its key is")
        return key.unseal(packet)

    reader = LogReader(opened)
    try:
        with closing(Journal(folder)) as journal:
            for record in journal.replay():
                reader.follow(record)
    except OSError as fault:
        raise OutboxError(f"{folder}: {fault.strerror}; give the outbox of a node") from fault
    if reader.account is None:
        raise OutboxError(f"{folder}: no outbox; give the folder of outbox.path")
    if not reader.account.leads:
        remedy = "start the node and stop it, or audit it by its health messages"
        raise OutboxError(f"{folder}: the node kept its last changes in memory; {remedy}")
    ledger = reader.ledger
    held = [found for found in reader.found.values() if found.entry.key in reader.here]
    frames = [(*each.entry.key, 1) for each in held if each.entry.kind is Kind.FRAME]
    reports = [(each.entry.key.boot, record) for each in held for record in each.records]
    return Outbox(
        reader.account.boot,
        ledger.captured,
        ledger.stored,
        ledger.dropped.total(),
        KeySet(frames),
        tuple(reports),
    )
