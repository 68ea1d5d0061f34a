"""Deleting packets and results, a few at a time; what is settled and counted stays.

Frames that are not decoded yet are never deleted, unless the bundle that they wait for is not
configured. Nor is what a ``last/{task}`` topic shows.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tactic_codec import drop
from tactic_codec.errors import CodecError
from tactic_codec.packet import HEADER_BYTES, Kind
from tactic_gateway.accounts import COLUMNS
from tactic_gateway.database import Database
from tactic_gateway.records import Status

PRIORITIES = range(4)
CHUNK = 256

_PACKETS = """
SELECT id, node, boot, pkt, kind, status, received_ns, iif(kind = 2, raw, NULL) FROM packets
    WHERE priority = ? AND received_ns < ? AND status > 1 ORDER BY received_ns LIMIT ?
"""
_RESULTS = """
SELECT node, boot, seq, head, model, parts FROM results r
    WHERE priority = ? AND received_ns < ? AND NOT EXISTS (
        SELECT 1 FROM latest l WHERE l.node = r.node AND l.task = r.task AND l.boot = r.boot
            AND l.seq = r.seq AND l.head = r.head AND l.model = r.model AND l.parts = r.parts)
    ORDER BY received_ns LIMIT ?
"""
_DROPS = "DELETE FROM drops WHERE node = ? AND boot = ? AND first >= ? AND first < ?"
_NEVER_NS = 1 << 62

Row = tuple[int, str, int, int, int, int, int, bytes | None]


@dataclass(frozen=True, slots=True)
class Purged:
    """What was deleted.

    Attributes
    ----------
    packets, results : int
    unseen : int
        Frames among the packets that were never decoded: their bundle did not come.
    """

    packets: int = 0
    results: int = 0
    unseen: int = 0

    def __bool__(self) -> bool:
        return self.packets + self.results > 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(
            self.packets + other.packets, self.results + other.results, self.unseen + other.unseen
        )


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def purge_old(database: Database, priority: int, packets_ns: int, results_ns: int) -> Purged:
    """Delete some of a class, if there are any that were received before those times."""
    with database.transaction() as db:
        rows = db.execute(_PACKETS, (priority, packets_ns, CHUNK)).fetchall()
        return Purged(
            len(rows), _delete_results(db, priority, results_ns, CHUNK), _delete_packets(db, rows)
        )


def purge_oldest(database: Database) -> Purged:
    """Delete some of the lowest class that there are any of, packets with their results."""
    with database.transaction() as db:
        for priority in PRIORITIES:
            rows = db.execute(_PACKETS, (priority, _NEVER_NS, CHUNK)).fetchall()
            until_ns = rows[-1][6] + 1 if rows else _NEVER_NS
            results = _delete_results(db, priority, until_ns, 4 * CHUNK)
            if rows or results:
                return Purged(len(rows), results, _delete_packets(db, rows))
    return Purged()


def give_back(database: Database, pages: int) -> bool:
    """Give free pages back to the disk; False where there are none, or the file cannot."""
    with database.transaction() as db:
        if not db.execute("PRAGMA freelist_count").fetchone()[0]:
            return False
        before = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        return bool(db.execute("PRAGMA page_count").fetchone()[0] < before)


def _delete_packets(db: sqlite3.Connection, rows: Sequence[Row]) -> int:
    purged: Counter[tuple[str, str, int]] = Counter()
    for ident, node, boot, pkt, kind, status, _, raw in rows:
        db.execute("DELETE FROM packets WHERE id = ?", (ident,))
        purged[COLUMNS[Kind(kind)], node, boot] += 1
        if kind == Kind.FRAME and status == Status.WAITING:
            purged["unseen", node, boot] += 1
        if status == Status.FAILED:
            where = (node, boot, pkt)
            db.execute("DELETE FROM failures WHERE node = ? AND boot = ? AND seq = ?", where)
        if raw is not None:
            db.executemany(_DROPS, [(node, boot, *numbers) for numbers in _named(raw)])
    for (column, node, boot), count in purged.items():
        db.execute(
            f"UPDATE accounts SET purged_{column} = purged_{column} + ?"
            " WHERE node = ? AND boot = ?",
            (count, node, boot),
        )
    return sum(count for (column, _, _), count in purged.items() if column == "unseen")


def _named(raw: bytes) -> list[tuple[int, int]]:
    try:
        return [(r.first, r.first + r.count) for r in drop.unpack(raw[HEADER_BYTES:])]
    except CodecError:  # damaged in the store; its numbers are settled and counted all the same
        return []


def _delete_results(db: sqlite3.Connection, priority: int, before_ns: int, limit: int) -> int:
    rows = db.execute(_RESULTS, (priority, before_ns, limit)).fetchall()
    db.executemany(
        "DELETE FROM results WHERE node = ? AND boot = ? AND seq = ? AND head = ? AND model = ?"
        " AND parts = ?",
        rows,
    )
    return len(rows)
