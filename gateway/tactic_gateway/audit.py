"""Proof that no frame is missing: captured = stored + dropped + pending, for every node.

What was captured the node says; what was stored or given up the gateway knows by number, and no
number is both. What is left is pending, and has to be what the node still holds. With nothing left
at the node, the equation is exact; until then it says how many frames are on their way.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tactic_codec.drop import DropRecord, Reason
from tactic_delivery.keyset import KeySet
from tactic_delivery.ranges import RangeSet
from tactic_gateway.ledgers import holdings
from tactic_gateway.settled import load

#: Reasons under which numbers are given up that were no frames, or perhaps were none.
NO_FRAMES = frozenset(
    reason.name.lower() for reason in (Reason.REPLACED, Reason.UNKNOWN, Reason.PART)
)

_LEDGERS = """
SELECT node, boot, outbox, received_ns, captured, stored, pending, dropped, waiting, here, gone
    FROM ledgers l WHERE serial = (
        SELECT max(serial) FROM ledgers WHERE node = l.node AND outbox = l.outbox)
    ORDER BY node, serial
"""
_UNHEARD = """
SELECT node, sum(frames) FROM accounts WHERE node NOT IN (SELECT node FROM ledgers) GROUP BY node
"""
_KINDS = {
    "packets": "SELECT node, boot, count(*) FROM packets GROUP BY node, boot",
    "parts": "SELECT node, boot, count(*) FROM packets INDEXED BY packets_part"
    " WHERE kind = 1 GROUP BY node, boot",
    "reports": "SELECT node, boot, count(*) FROM packets INDEXED BY packets_report"
    " WHERE kind = 2 GROUP BY node, boot",
}


@dataclass(frozen=True, slots=True)
class Balance:
    """The account of one outbox of a node, at the moment of its last ledger.

    Attributes
    ----------
    node : str
    boot : int or None
        That ran then; None where no ledger ever came.
    heard_ns : int or None
        Unix time of the ledger.
    captured : int or None
        Frames, as the node says.
    stored : int
        Frames the gateway holds or held.
    dropped : mapping of str to int
        Frames given up and not stored, by reason.
    pending : int
        Frames captured that are neither.
    held : int
        Frames that may be pending, as the node says: they wait, or the report that they were
        given up does.
    fault : str
        What does not balance, and what to do; empty where all is well.
    """

    node: str
    boot: int | None
    heard_ns: int | None
    captured: int | None
    stored: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    held: int = 0
    fault: str = ""


def balances(db: sqlite3.Connection) -> list[Balance]:
    """Balance of every outbox of every node."""
    found = [_balance(*row) for row in db.execute(_LEDGERS).fetchall()]
    unheard = [Balance(node, None, None, None, frames) for node, frames in db.execute(_UNHEARD)]
    return sorted(found + unheard, key=lambda each: (each.node, each.heard_ns or 0))


@dataclass(frozen=True, slots=True)
class Outbox:
    """What lies in a node's outbox.

    Attributes
    ----------
    boot : int
        The last one.
    captured, stored : int
        Frames, by the node's ledger.
    told : int
        Frames that the ledger says were dropped.
    frames : KeySet
        Those that wait.
    reports : tuple of (int, DropRecord)
        Boot and record of each DROP packet that waits.
    """

    boot: int
    captured: int
    stored: int
    told: int
    frames: KeySet
    reports: tuple[tuple[int, DropRecord], ...]


def balance_by_key(db: sqlite3.Connection, node: str, outbox: Outbox) -> Balance:
    """Balance of a node whose outbox can be read: exact, frame by frame, whatever is on its way."""
    here, given_up = holdings(db, node, outbox.boot)
    gone = {reason: n for reason, n in given_up.items() if n and reason not in NO_FRAMES}
    boots = {*outbox.frames.boots, *(boot for boot, _ in outbox.reports)}
    settled = {boot: RangeSet(load(db, node, boot)) for boot in boots}
    waits = sum(key.pkt not in settled[key.boot] for key in outbox.frames)
    unreported = sum(
        each.size
        for boot, record in outbox.reports
        if record.reason.name.lower() not in NO_FRAMES
        for each in settled[boot].missing(record.first, record.count)
    )
    pending = outbox.captured - here - sum(gone.values())
    held = waits + unreported
    fault = _closes(outbox.captured, outbox.stored, outbox.told, sum(1 for _ in outbox.frames))
    fault = fault or _missing(pending, held, least=held)
    return Balance(node, outbox.boot, None, outbox.captured, here, gone, pending, held, fault)


def _balance(
    node: str,
    boot: int,
    outbox: int,
    heard_ns: int,
    captured: int,
    stored: int,
    waits: int,
    dropped: str,
    waiting: int | None,
    here: int,
    gone: str,
) -> Balance:
    given_up = {r: n for r, n in json.loads(gone).items() if n and r not in NO_FRAMES}
    told = sum(json.loads(dropped).values())
    pending = captured - here - sum(given_up.values())
    # Of what the node gave up, the report may still be on its way.
    held = waits + (max(0, told - sum(given_up.values())) if waiting != 0 else 0)
    fault = _closes(captured, stored, told, waits) or _missing(pending, held, least=0)
    return Balance(node, boot, heard_ns, captured, here, given_up, pending, held, fault)


def _closes(captured: int, stored: int, dropped: int, pending: int) -> str:
    if captured == stored + dropped + pending:
        return ""
    sum_ = f"{captured} ≠ {stored} + {dropped} + {pending}"
    return f"the node's own account does not close: {sum_}; report it with the node's log"


def _missing(pending: int, held: int, least: int) -> str:
    if pending > held:
        return (
            f"{pending - held} frames are nowhere; see which numbers are missing in the table"
            " settled, and whether they were acknowledged to another store"
        )
    if pending < least:
        return (
            f"{least - pending} frames more than were captured; two nodes share this name, or its"
            " outbox is a copy"
        )
    return ""


def recount(db: sqlite3.Connection) -> Iterator[str]:
    """Compare what is counted with what is there, boot by boot; say what differs.

    Reads indices only.
    """
    rows = {
        name: Counter({(node, boot): n for node, boot, n in db.execute(query)})
        for name, query in _KINDS.items()
    }
    settled = Counter({(n, b): c for n, b, c in db.execute(_per_boot("settled"))})
    given_up = Counter({(n, b): c for n, b, c in db.execute(_per_boot("given_up"))})
    seen = set(settled) | set(given_up) | set(rows["packets"])
    for node, boot, *counts in db.execute("SELECT * FROM accounts"):
        at = (node, boot)
        seen.discard(at)
        frames, parts, reports, gone_frames, gone_parts, gone_reports, _ = counts
        here = rows["packets"][at]
        expected = {
            "frames": (
                frames - gone_frames,
                here - rows["parts"][at] - rows["reports"][at],
            ),
            "parts": (parts - gone_parts, rows["parts"][at]),
            "reports": (reports - gone_reports, rows["reports"][at]),
            "settled numbers": (frames + parts + reports + given_up[at], settled[at]),
        }
        for name, (counted, there) in expected.items():
            if counted != there:
                yield f"{node}/{boot}: {counted} {name} are counted, {there} are there"
    for node, boot in sorted(seen):
        if rows["packets"][node, boot] or settled[node, boot] != given_up[node, boot]:
            yield f"{node}/{boot}: packets or numbers without an account"


def _per_boot(table: str) -> str:
    return f"SELECT node, boot, sum(count) FROM {table} GROUP BY node, boot"
