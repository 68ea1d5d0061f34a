"""Is the store whole? Each thing that is wrong is named with what to do about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tactic_codec.errors import PacketError
from tactic_codec.packet import unpack
from tactic_gateway.audit import recount
from tactic_gateway.database import Database

REPAIR = "run it again with --repair"
_CHUNK = 2000
_MOST_EXAMPLES = 20

_PACKETS = """
SELECT id, node, boot, pkt, kind, seq, bundle, priority, raw FROM packets
    WHERE id > ? ORDER BY id LIMIT ?
"""
_UNSETTLED = """
FROM packets p WHERE ifnull((SELECT s.first + s.count FROM settled s
    WHERE s.node = p.node AND s.boot = p.boot AND s.first <= p.pkt
    ORDER BY s.first DESC LIMIT 1), 0) <= p.pkt
"""
_TOUCHING = """
SELECT count(*) FROM (SELECT first <= lag(first + count) OVER
    (PARTITION BY node, boot ORDER BY first) AS touches FROM settled) WHERE touches
"""
_LOST_FAILURES = """
FROM failures AS f WHERE NOT EXISTS (SELECT 1 FROM packets p WHERE p.node = f.node
    AND p.boot = f.boot AND p.pkt = f.seq AND p.status = 4)
"""
_LOST_LATEST = """
FROM latest AS l WHERE NOT EXISTS (SELECT 1 FROM results r WHERE r.node = l.node
    AND r.boot = l.boot AND r.seq = l.seq AND r.head = l.head AND r.model = l.model
    AND r.parts = l.parts)
"""
# What is counted and not there was deleted.
_RECOUNTED = """
UPDATE accounts SET purged_{0} = iif({0} < there, purged_{0}, {0} - there),
    {0} = iif({0} < there, there + purged_{0}, {0})
FROM (SELECT node AS n, boot AS b, sum(kind = {1}) AS there FROM packets GROUP BY node, boot)
WHERE node = n AND boot = b
"""
_WITHOUT_PACKETS = """
UPDATE accounts SET purged_frames = frames, purged_parts = parts, purged_reports = reports
WHERE NOT EXISTS (SELECT 1 FROM packets p WHERE p.node = accounts.node AND p.boot = accounts.boot)
"""
_WITHOUT_ACCOUNT = """
INSERT OR IGNORE INTO accounts (node, boot) SELECT DISTINCT node, boot FROM packets
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes
    ----------
    what, remedy : str
    count : int
        How often.
    """

    what: str
    remedy: str
    count: int = 1


def check(db: sqlite3.Connection, advance: Callable[[int], None]) -> Iterator[Finding]:
    """Look at everything.

    Parameters
    ----------
    db : sqlite3.Connection
    advance : callable (int)
        Told how many packets more have been looked at.
    """
    try:
        broken = [row[0] for row in db.execute(f"PRAGMA integrity_check({_MOST_EXAMPLES})")]
    except sqlite3.DatabaseError as fault:
        broken = [str(fault)]
    if broken != ["ok"]:
        remedy = "stop the gateway; save what can be read with sqlite3 FILE .recover"
        yield Finding(f"the file is damaged: {broken[0]}", remedy, len(broken))
        return
    yield from _check_packets(db, advance)
    for text in recount(db):
        yield Finding(text, REPAIR)
    for what, query in (
        ("packets whose numbers are not settled", f"SELECT count(*) {_UNSETTLED}"),
        ("ranges of settled numbers that overlap or touch", _TOUCHING),
        ("failures without a failed frame", f"SELECT count(*) {_LOST_FAILURES}"),
        ("latest results that are not there", f"SELECT count(*) {_LOST_LATEST}"),
    ):
        if count := db.execute(query).fetchone()[0]:
            yield Finding(what, REPAIR, count)
    query = "SELECT count(*) FROM results WHERE NOT json_valid(body)"
    if count := db.execute(query).fetchone()[0]:
        yield Finding("results that are no JSON", "delete them, then tactic reprocess", count)


def repair(database: Database) -> None:
    """Make what can be derived from the packets agree with them; delete no packet.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    with database.transaction() as db:
        _resettle(db)
        db.execute(_WITHOUT_ACCOUNT)
        for kind, column in enumerate(("frames", "parts", "reports")):
            db.execute(_RECOUNTED.format(column, kind))
        db.execute(_WITHOUT_PACKETS)
        db.execute(f"DELETE {_LOST_FAILURES}")
        db.execute(f"DELETE {_LOST_LATEST}")


def _resettle(db: sqlite3.Connection) -> None:
    """Settle every packet and every drop that is there, beside what is settled."""
    db.execute("CREATE TEMP TABLE whole AS SELECT * FROM settled")
    db.execute("INSERT INTO whole SELECT node, boot, pkt, 1 FROM packets")
    db.execute("INSERT INTO whole SELECT node, boot, first, count FROM drops")
    db.execute("DELETE FROM settled")
    db.execute(
        """
        INSERT INTO settled
            WITH begun AS (
                SELECT *, first > ifnull(max(first + count) OVER (PARTITION BY node, boot
                    ORDER BY first, count ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1)
                    AS begins FROM whole
            ), islands AS (
                SELECT *, sum(begins) OVER (PARTITION BY node, boot ORDER BY first, count
                    ROWS UNBOUNDED PRECEDING) AS island FROM begun
            )
            SELECT node, boot, min(first), max(first + count) - min(first) FROM islands
                GROUP BY node, boot, island
        """
    )
    db.execute("DROP TABLE whole")


def _check_packets(db: sqlite3.Connection, advance: Callable[[int], None]) -> Iterator[Finding]:
    damaged = misfiled = last = 0
    where = ""
    # In pieces: one long reading would keep the write-ahead log of a running gateway from ending.
    while rows := db.execute(_PACKETS, (last, _CHUNK)).fetchall():
        last = rows[-1][0]
        for _, node, *columns, raw in rows:
            try:
                packet = unpack(raw, sealed=True)
            except PacketError:
                damaged += 1
                where = where or f"{node}/{columns[0]}/{columns[1]}"
                continue
            found = [packet.boot, packet.pkt, packet.kind, packet.seq, packet.bundle]
            misfiled += [*found, packet.priority] != columns
        advance(len(rows))
    if damaged:
        remedy = "its frame fails when it is decoded; check the disk, and keep a copy of the store"
        yield Finding(f"packets that fail their check, first {where}", remedy, damaged)
    if misfiled:
        yield Finding(
            "packets that are not what their row says", "report it with the store", misfiled
        )
