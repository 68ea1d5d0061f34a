"""The store: every packet as it came, and everything that was made of it.

Only what is committed here is acknowledged. ``schema/NNN.sql`` describes the tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tactic_codec.packet import Kind
from tactic_codec.types import FrameKey
from tactic_gateway import accounts, ledgers, settled
from tactic_gateway.database import Database
from tactic_gateway.records import Arrival, Birth, Job, Ledger, Outcome, Status
from tactic_gateway.results import Result

#: A frame that was in hand this often when a worker was lost is not tried again.
MOST_STRIKES = 2

#: What one frame can have; others of a node that repeats part numbers are left alone.
_MOST_PARTS = 7

#: Births kept of each node, the latest.
MAX_BIRTHS = 1000

_FEWER_BIRTHS = f"""
DELETE FROM boots WHERE node = ? AND id <= (
    SELECT id FROM boots WHERE node = ? ORDER BY id DESC LIMIT 1 OFFSET {MAX_BIRTHS})
"""
_FAILURE = "INSERT INTO failures VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"

# Node's current boot first: its counter may have started anew on another SD card.
_LATEST = """
INSERT INTO latest (node, task, boot, seq, head, model)
    VALUES (:node, :task, :boot, :seq, :head, :model)
    ON CONFLICT (node, task) DO UPDATE
    SET boot = :boot, seq = :seq, head = :head, model = :model
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

_PARTS = f"""
SELECT raw FROM packets INDEXED BY packets_part
    WHERE node = ? AND boot = ? AND seq = ? AND kind = 1 ORDER BY pkt LIMIT {_MOST_PARTS}
"""


class Store:
    """The open store; every method may be called from any thread.

    All of them raise `StoreError` when the database cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self._wires: frozenset[int] = frozenset()
        self._backlog = 0
        self.close = self.database.close

    @property
    def backlog(self) -> int:
        """Frames that can be decoded and are not yet; those that a worker has in hand too."""
        return self._backlog

    def requeue(self, wires: Collection[int]) -> dict[str, int]:
        """Take up what an earlier process left. Call once, before anything is claimed.

        Frames that it had in hand when it ended become new again. That says nothing against
        them: they are decoded in processes of their own.

        Parameters
        ----------
        wires : collection of int
            Short ids of the bundles at hand; frames of other bundles wait.

        Returns
        -------
        dict
            Number of frames by status, ``new`` and ``waiting``.
        """
        self._wires = frozenset(wires)
        with self.database.transaction() as db:
            ours = (json.dumps(sorted(wires)),)
            # Only what changes is written: a backlog may have a hundred thousand frames.
            for status, former, has in ((0, "1, 2", "IN"), (2, "0, 1", "NOT IN")):
                db.execute(
                    f"UPDATE packets SET status = {status} WHERE status < 3"
                    f" AND status IN ({former})"
                    f" AND bundle {has} (SELECT value FROM json_each(?))",
                    ours,
                )
            counts = dict(
                db.execute("SELECT status, count(*) FROM packets WHERE status < 3 GROUP BY status")
            )
        self._backlog = counts.get(Status.NEW, 0)
        return {"new": self._backlog, "waiting": counts.get(Status.WAITING, 0)}

    def attempt(self) -> None:
        """Open the file anew and write to it, to see whether that works again."""
        self.database.reopen()
        with self.database.transaction() as db:
            db.execute("UPDATE notes SET value = value + 1 WHERE name = 'attempts'")

    def commit(
        self,
        arrivals: Sequence[Arrival],
        births: Sequence[Birth] = (),
        rejects: Mapping[str, int] | None = None,
        health: Collection[tuple[Ledger, int]] = (),
    ) -> Counter[int]:
        """Store what arrived, in one transaction.

        Parameters
        ----------
        arrivals : sequence of Arrival
        births : sequence of Birth
        rejects : mapping of str to int
            Messages that were not taken, by reason.
        health : collection of (Ledger, int)
            Each with the number of arrivals that came before it.

        Returns
        -------
        Counter of int
            Frames that wait, by the short id of their bundle.
        """
        with self.database.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO boots (node, boot, booted_unix_ns, birth)"
                " VALUES (?, ?, ?, ?)",
                [(birth.node, birth.boot, birth.booted_unix_ns, birth.body) for birth in births],
            )
            db.executemany(_FEWER_BIRTHS, [(node, node) for node in {b.node for b in births}])
            db.executemany(
                "INSERT INTO rejects VALUES (?, ?)"
                " ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count",
                (rejects or {}).items(),
            )
            stored = [arrival for arrival in arrivals if self._insert(db, arrival)]
            accounts.book(db, stored)
            settled.settle(db, _numbers(arrivals))
            for ledger, before in health:
                ledgers.note(db, ledger, arrivals[before:])
        bundles = Counter(a.packet.bundle for a in stored if a.packet.kind is Kind.FRAME)
        waiting = Counter({w: count for w, count in bundles.items() if w not in self._wires})
        self._backlog += bundles.total() - waiting.total()
        return waiting

    def _insert(self, db: sqlite3.Connection, arrival: Arrival) -> bool:
        node, packet = arrival.node, arrival.packet
        status = Status.DONE
        if packet.kind is Kind.FRAME:
            status = Status.NEW if packet.bundle in self._wires else Status.WAITING
        row = (node, packet.boot, packet.pkt, packet.kind, packet.seq, packet.bundle)
        done = db.execute(
            "INSERT INTO packets"
            " (node, boot, pkt, kind, seq, bundle, priority, received_ns, status, raw)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node, boot, pkt) DO NOTHING",
            (*row, packet.priority, arrival.received_ns, status, arrival.raw),
        )
        db.executemany(
            "INSERT INTO drops VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(node, packet.boot, drop.first, drop.count, drop.reason) for drop in arrival.drops],
        )
        return done.rowcount > 0

    def settled(self, node: str, boot: int) -> list[tuple[int, int]]:
        """Packets of a boot that are or were stored, or are reported dropped.

        Returns
        -------
        list of (first, count)
            By rising first number; they neither overlap nor touch.
        """
        with self.database.transaction() as db:
            return settled.load(db, node, boot)

    def claim(self, limit: int) -> list[Job]:
        """Take the newest frames in hand, so that a backlog never delays live frames.

        A frame that was in hand when a worker was lost comes alone: should it be the cause, it
        takes no other frame with it.

        Returns
        -------
        list of Job
            At most ``limit``, oldest first.
        """
        with self.database.transaction() as db:
            rows = db.execute(_OPEN_FRAMES, (limit,)).fetchall()
            innocent = [row for row in rows if row[-2] == 0]
            chosen = sorted(innocent or rows[:1])
            db.executemany("UPDATE packets SET status = 1 WHERE id = ?", [(r[0],) for r in chosen])
            return [read_job(db, row) for row in chosen]

    def strike(self, jobs: Sequence[Job], reason: str, detail: str) -> list[FrameKey]:
        """Give frames back that were in hand when a worker was lost.

        Those that have been so `MOST_STRIKES` times have failed: they stay stored, and are not
        tried again.

        Returns
        -------
        list of FrameKey
            The frames that have failed.
        """
        failed = []
        with self.database.transaction() as db:
            for job in jobs:
                ((strikes,),) = db.execute(
                    "UPDATE packets SET status = 0, strikes = strikes + 1 WHERE id = ?"
                    " RETURNING strikes",
                    (job.id,),
                ).fetchall()
                if strikes >= MOST_STRIKES:
                    _fail(db, job, (reason, f"{detail}, {strikes} times with this frame in hand"))
                    failed.append(job.key)
        self._backlog -= len(failed)
        return failed

    def job(self, key: FrameKey) -> Job | None:
        """Read a stored frame with the parts that have come since, to decode it again."""
        query = _OPEN_FRAMES.replace(
            "p.status = 0 AND p.status < 3",
            "p.node = ? AND p.boot = ? AND p.pkt = ? AND p.kind = 0",
        )
        with self.database.transaction() as db:
            row = db.execute(query, (key.node, key.boot, key.seq, 1)).fetchone()
            return read_job(db, row) if row else None

    def finish(self, outcomes: Sequence[Outcome]) -> list[tuple[Result, bool]]:
        """Store what became of jobs, in one transaction.

        Returns
        -------
        list of (Result, bool)
            The results that are new, and whether each is now its node's latest.
        """
        fresh: list[tuple[Result, bool]] = []
        with self.database.transaction() as db:
            for outcome in outcomes:
                job = outcome.job
                if outcome.failure:
                    _fail(db, job, outcome.failure)
                else:
                    db.execute("UPDATE packets SET status = 3 WHERE id = ?", (job.id,))
                fresh += [
                    (r, _is_latest(db, r)) for r in outcome.results if insert_result(db, job, r)
                ]
        self._backlog -= len(outcomes)
        return fresh

    def latest(self) -> list[tuple[str, str, str]]:
        """Node, task and JSON of each node's latest result of each task."""
        with self.database.transaction() as db:
            return db.execute(
                "SELECT l.node, l.task, r.body FROM latest l"
                " JOIN results r USING (node, boot, seq, head, model)"
            ).fetchall()

    def account(self) -> dict[str, int]:
        """Count what became of every frame; see `accounts.totals`."""
        with self.database.transaction() as db:
            return accounts.totals(db)


def _numbers(arrivals: Sequence[Arrival]) -> dict[settled.NodeBoot, settled.Ranges]:
    found: defaultdict[settled.NodeBoot, settled.Ranges] = defaultdict(list)
    for arrival in arrivals:
        numbers = found[arrival.node, arrival.packet.boot]
        numbers.append((arrival.packet.pkt, 1))
        numbers += [(drop.first, drop.count) for drop in arrival.drops]
    return found


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
    key = job.key
    db.execute("UPDATE packets SET status = 4 WHERE id = ?", (job.id,))
    db.execute(_FAILURE, (key.node, key.boot, key.seq, *failure))


def insert_result(db: sqlite3.Connection, job: Job, result: Result) -> bool:
    """Store a result; False if there was one of this frame, head and model."""
    key, finding = job.key, result.finding
    row = (key.node, key.boot, key.seq, finding.head, finding.model, finding.task)
    done = db.execute(
        "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (*row, job.priority, job.received_ns, result.to_json()),
    )
    return done.rowcount > 0


def _is_latest(db: sqlite3.Connection, result: Result) -> bool:
    key, finding = result.key, result.finding
    current = db.execute(
        "SELECT boot FROM boots WHERE node = ? ORDER BY id DESC LIMIT 1", (key.node,)
    ).fetchone()
    row = {
        "node": key.node,
        "task": finding.task,
        "boot": key.boot,
        "seq": key.seq,
        "head": finding.head,
        "model": finding.model,
        "current": current[0] if current else None,
    }
    return db.execute(_LATEST, row).rowcount > 0
