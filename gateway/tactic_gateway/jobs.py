"""What the store does for workers: frames to be decoded, what became of them, and results."""

from __future__ import annotations

import sqlite3
from typing import Any

from tactic_codec.types import FrameKey
from tactic_gateway.records import Job, Outcome
from tactic_gateway.results import Result

#: A frame that was in hand this often when a worker was lost is not tried again.
MOST_STRIKES = 2

#: What one frame can have; others of a node that repeats part numbers are left alone.
_MOST_PARTS = 7

_FAILURE = "INSERT INTO failures VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"

_ANSWERED = "SELECT 1 FROM results WHERE node = ? AND boot = ? AND seq = ? LIMIT 1"

# Node's current boot first: its counter may have started anew on another SD card.
_LATEST = """
INSERT INTO latest (node, task, boot, seq, head, model, parts)
    VALUES (:node, :task, :boot, :seq, :head, :model, :parts)
    ON CONFLICT (node, task) DO UPDATE
    SET boot = :boot, seq = :seq, head = :head, model = :model, parts = :parts
    WHERE (:boot IS :current, :boot, :seq) >= (boot IS :current, boot, seq)
"""

FRAMES = """
SELECT p.id, p.node, p.boot, p.seq, p.bundle, p.priority, p.received_ns, b.booted_unix_ns, p.raw,
        p.strikes, p.status
    FROM packets p LEFT JOIN boots b ON b.node = p.node AND b.boot = p.boot
"""

# "status < 3" is there for SQLite, which uses a partial index only where it reads the same term.
_OPEN_FRAMES = f"""
{FRAMES}
    WHERE p.status = 0 AND p.status < 3 ORDER BY p.id DESC LIMIT ?
"""

_FRAME = f"""
{FRAMES}
    WHERE p.node = ? AND p.boot = ? AND p.pkt = ? AND p.kind = 0
"""

_PARTS = f"""
SELECT raw FROM packets INDEXED BY packets_part
    WHERE node = ? AND boot = ? AND seq = ? AND kind = 1 ORDER BY pkt LIMIT {_MOST_PARTS}
"""

_COUNT_PARTS = f"""
SELECT count(*) FROM (SELECT 1 FROM packets INDEXED BY packets_part
    WHERE node = :node AND boot = :boot AND seq = :seq AND kind = 1 LIMIT {_MOST_PARTS + 1})
"""

# What came while the frame was in hand was not decoded with it.
_DONE = f"""
UPDATE packets SET status = iif(min({_MOST_PARTS}, ({_COUNT_PARTS})) > :known, 0, 3)
    WHERE id = :id RETURNING status
"""

_REOPEN = f"""
UPDATE packets SET status = 0 WHERE node = :node AND boot = :boot AND pkt = :seq AND kind = 0
    AND status = 3 AND bundle IN (SELECT value FROM json_each(:wires))
    AND ({_COUNT_PARTS}) <= {_MOST_PARTS}
"""


def claim(db: sqlite3.Connection, limit: int) -> list[Job]:
    """Take the newest frames in hand, oldest first; one that was struck comes alone."""
    rows = db.execute(_OPEN_FRAMES, (limit,)).fetchall()
    innocent = [row for row in rows if row[-2] == 0]
    chosen = sorted(innocent or rows[:1])
    db.executemany("UPDATE packets SET status = 1 WHERE id = ?", [(r[0],) for r in chosen])
    return [read_job(db, row) for row in chosen]


def strike(db: sqlite3.Connection, job: Job, reason: str, detail: str) -> bool:
    """Give a frame back whose worker was lost; True if that was once too often."""
    ((strikes,),) = db.execute(
        "UPDATE packets SET status = 0, strikes = strikes + 1 WHERE id = ? RETURNING strikes",
        (job.id,),
    ).fetchall()
    if strikes < MOST_STRIKES:
        return False
    _fail(db, job, (reason, f"{detail}, {strikes} times with this frame in hand"))
    return True


def find(db: sqlite3.Connection, key: FrameKey) -> Job | None:
    """Read a stored frame with the parts that have come since."""
    row = db.execute(_FRAME, (key.node, key.boot, key.seq)).fetchone()
    return read_job(db, row) if row else None


def reopen(db: sqlite3.Connection, key: FrameKey, wires: str) -> bool:
    """Have a frame decoded again that has got a part more; ``wires``: bundles at hand, JSON."""
    where = {"node": key.node, "boot": key.boot, "seq": key.seq, "wires": wires}
    return db.execute(_REOPEN, where).rowcount > 0


def finish(db: sqlite3.Connection, outcome: Outcome) -> tuple[list[tuple[Result, bool]], bool]:
    """Store what became of a job.

    Returns
    -------
    list of (Result, bool)
        The results that are new, each with whether it is the latest.
    bool
        Whether the frame is to be decoded again: a part came meanwhile.
    """
    job, again = outcome.job, False
    if outcome.failure:
        _fail(db, job, outcome.failure)
    else:
        key = job.key
        where = {"node": key.node, "boot": key.boot, "seq": key.seq}
        done = db.execute(_DONE, where | {"known": job.parts, "id": job.id}).fetchall()
        again = done == [(0,)]
    fresh = [(r, _is_latest(db, r)) for r in outcome.results if insert_result(db, job, r)]
    return fresh, again


def read_job(db: sqlite3.Connection, row: tuple[Any, ...]) -> Job:
    """Make a job of a row of `FRAMES`, with the parts that have come."""
    ident, node, boot, seq, bundle, priority, received_ns, booted_unix_ns, raw, *_ = row
    parts = [part for (part,) in db.execute(_PARTS, (node, boot, seq))]
    return Job(
        id=ident,
        key=FrameKey(node, boot, seq),
        bundle=bundle,
        priority=priority,
        received_ns=received_ns,
        booted_unix_ns=booted_unix_ns,
        raws=(raw, *parts),
    )


def _fail(db: sqlite3.Connection, job: Job, failure: tuple[str, str]) -> None:
    where = (job.key.node, job.key.boot, job.key.seq)
    if db.execute(_ANSWERED, where).fetchone():
        # It failed with its parts only: the first answer stands.
        db.execute("UPDATE packets SET status = 3 WHERE id = ?", (job.id,))
        return
    db.execute("UPDATE packets SET status = 4 WHERE id = ?", (job.id,))
    db.execute(_FAILURE, (*where, *failure))


def insert_result(db: sqlite3.Connection, job: Job, result: Result) -> bool:
    """Store a result; False if there was one of this frame, head and model with these parts."""
    key, finding = job.key, result.finding
    row = (key.node, key.boot, key.seq, finding.head, finding.model, result.parts, finding.task)
    done = db.execute(
        "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (*row, job.priority, job.received_ns, result.to_json()),
    )
    return done.rowcount > 0


def _is_latest(db: sqlite3.Connection, result: Result) -> bool:
    key, finding = result.key, result.finding
    row = {
        "node": key.node,
        "task": finding.task,
        "boot": key.boot,
        "seq": key.seq,
        "head": finding.head,
        "model": finding.model,
        "parts": result.parts,
        "current": current_boot(db, key.node),
    }
    return db.execute(_LATEST, row).rowcount > 0


def current_boot(db: sqlite3.Connection, node: str) -> int | None:
    """The boot that a node announced last; None where it never did."""
    found = db.execute(
        "SELECT boot FROM boots WHERE node = ? ORDER BY id DESC LIMIT 1", (node,)
    ).fetchone()
    return found[0] if found else None
