"""The nodes' own accounts, as their health messages tell them, beside what the gateway holds.

A node counts frames over all boots of its outbox. Where the counter in a boot's number does not
rise, or fewer frames were captured than before, the outbox is a new one: its account begins anew,
and so does the gateway's side of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tactic_codec.drop import Reason
from tactic_codec.packet import Kind
from tactic_gateway.records import Arrival, Ledger

#: Ledgers kept of a node, the latest.
MAX_LEDGERS = 1000

_COUNTER_SHIFT = 12
_KNOWN = "SELECT boot, captured, outbox, serial FROM ledgers WHERE node = ? ORDER BY serial DESC"
_SAME = """
SELECT 1 FROM ledgers WHERE node = ? AND boot = ? AND captured = ? AND stored = ? AND pending = ?
    AND dropped = ? AND waiting IS ?
"""
_FEWER = f"""
DELETE FROM ledgers WHERE node = :node AND serial <= (
    SELECT serial FROM ledgers WHERE node = :node ORDER BY serial DESC
    LIMIT 1 OFFSET {MAX_LEDGERS})
"""


class _Known(NamedTuple):
    boot: int
    captured: int
    outbox: int
    serial: int


def note(db: sqlite3.Connection, ledger: Ledger, later: Sequence[Arrival]) -> None:
    """Keep a ledger with what the gateway held when it came.

    Parameters
    ----------
    db : sqlite3.Connection
    ledger : Ledger
    later : sequence of Arrival
        Stored in the same transaction, but came after it.
    """
    dropped = json.dumps(ledger.dropped, sort_keys=True)
    numbers = (ledger.captured, ledger.stored, ledger.pending, dropped, ledger.waiting)
    if db.execute(_SAME, (ledger.node, ledger.boot, *numbers)).fetchone():
        return  # a retained message once more: what the gateway held at its time is what counts
    known = [_Known(*row) for row in db.execute(_KNOWN, (ledger.node,))]
    outbox = _outbox(known, ledger)
    boots = _boots(db, known, ledger.node, ledger.boot, outbox)
    here, gone = _held(db, ledger.node, boots)
    for arrival in later:
        if (arrival.node, arrival.packet.boot in boots) == (ledger.node, True):
            here -= arrival.packet.kind is Kind.FRAME
            gone.subtract({d.reason.name.lower(): d.count for d in arrival.drops})
    serial = known[0].serial + 1 if known else 1
    db.execute(
        "INSERT OR REPLACE INTO ledgers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(ledger.node, ledger.boot, ledger.received_ns, *numbers),
            *(here, json.dumps(gone, sort_keys=True), outbox, serial),
        ),
    )
    db.execute(_FEWER, {"node": ledger.node})


def holdings(db: sqlite3.Connection, node: str, boot: int) -> tuple[int, Counter[str]]:
    """What the gateway holds of the outbox that a boot belongs to.

    Returns
    -------
    int
        Frames that are or were stored.
    Counter of str
        Numbers given up and not stored, by reason.
    """
    known = [_Known(*row) for row in db.execute(_KNOWN, (node,))]
    of_boot = [each.outbox for each in known if each.boot == boot]
    outbox = of_boot[0] if of_boot else known[0].outbox if known else 0
    return _held(db, node, _boots(db, known, node, boot, outbox))


def _outbox(known: list[_Known], ledger: Ledger) -> int:
    if not known:
        return 0
    for each in known:
        if each.boot == ledger.boot:
            return each.outbox
    last = known[0]
    highest = max(each.boot for each in known if each.outbox == last.outbox)
    later = ledger.boot >> _COUNTER_SHIFT > highest >> _COUNTER_SHIFT
    return last.outbox if later and ledger.captured >= last.captured else ledger.boot


def _boots(
    db: sqlite3.Connection, known: list[_Known], node: str, boot: int, outbox: int
) -> frozenset[int]:
    """Boots of one outbox of a node, those included of which no ledger ever came."""
    rows = db.execute(
        "SELECT boot FROM accounts WHERE node = :node"
        " UNION SELECT boot FROM given_up WHERE node = :node",
        {"node": node},
    )
    others = {each.boot for each in known if each.outbox != outbox}
    counters = range(outbox >> _COUNTER_SHIFT, (boot >> _COUNTER_SHIFT) + 1)
    return frozenset(b for (b,) in rows if b >> _COUNTER_SHIFT in counters and b not in others)


def _held(db: sqlite3.Connection, node: str, boots: frozenset[int]) -> tuple[int, Counter[str]]:
    """Frames that are or were stored of some boots, and numbers given up by reason."""
    frames = sum(
        count
        for boot, count in db.execute("SELECT boot, frames FROM accounts WHERE node = ?", (node,))
        if boot in boots
    )
    gone: Counter[str] = Counter()
    rows = db.execute("SELECT boot, reason, count FROM given_up WHERE node = ?", (node,))
    for boot, reason, count in rows:
        if boot in boots:
            gone[Reason(reason).name.lower()] += count
    return frames, gone
