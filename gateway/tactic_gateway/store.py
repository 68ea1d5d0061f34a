"""The store: every packet as it came, and everything that was made of it.

Only what is committed here is acknowledged. ``schema/NNN.sql`` describes the tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tactic_codec.drop import Reason
from tactic_codec.packet import Kind
from tactic_codec.types import FrameKey
from tactic_gateway.database import Database
from tactic_gateway.records import Arrival, Birth, Job, Outcome, Status
from tactic_gateway.task import Result

MAX_ATTEMPTS = 5

_FAILURE = "INSERT INTO failures VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_CRASHED = f"FROM packets WHERE status = 1 AND status < 3 AND attempts >= {MAX_ATTEMPTS}"

# Node's current boot first: its counter may have started anew on another SD card.
_LATEST = """
INSERT INTO latest VALUES (:node, :task, :boot, :seq, :head)
    ON CONFLICT (node, task) DO UPDATE SET boot = :boot, seq = :seq, head = :head
    WHERE (:boot IS :current, :boot, :seq) >= (boot IS :current, boot, seq)
"""

_SETTLED = """
SELECT min(pkt), count(*) FROM (
    SELECT pkt, pkt - row_number() OVER (ORDER BY pkt) AS island
    FROM packets WHERE node = :node AND boot = :boot
) GROUP BY island
UNION ALL SELECT first, count FROM drops WHERE node = :node AND boot = :boot
ORDER BY 1
"""

# "status < 3" is there for SQLite, which uses a partial index only where it reads the same term.
_OPEN_FRAMES = """
SELECT p.id, p.node, p.boot, p.seq, p.bundle, p.received_ns, b.booted_unix_ns, p.raw, p.attempts
    FROM packets p LEFT JOIN boots b ON b.node = p.node AND b.boot = p.boot
    WHERE p.status = 0 AND p.status < 3 ORDER BY p.id DESC LIMIT ?
"""

_PARTS = """
SELECT raw FROM packets INDEXED BY packets_part
    WHERE node = ? AND boot = ? AND seq = ? AND kind = 1 ORDER BY pkt
"""


class Store:
    """The open store; every method may be called from any thread.

    All of them raise `StoreError` when the database cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self._wires: frozenset[int] = frozenset()
        self.close = self._database.close

    def requeue(self, wires: Collection[int]) -> dict[str, int]:
        """Take up what an earlier process left. Call once, before anything is claimed.

        Frames that a process had in hand when it ended become new again; those that have seen
        `MAX_ATTEMPTS` processes end have failed.

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
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO failures SELECT node, boot, seq, 'crash',"
                f" attempts || ' processes ended while decoding it' {_CRASHED}"
                " ON CONFLICT DO NOTHING"
            )
            db.execute(
                f"UPDATE packets SET status = {Status.FAILED} WHERE id IN (SELECT id {_CRASHED})"
            )
            db.execute(
                "UPDATE packets SET status = iif(bundle IN (SELECT value FROM json_each(?)), 0, 2)"
                " WHERE status < 3",
                (json.dumps(sorted(wires)),),
            )
            counts = dict(
                db.execute("SELECT status, count(*) FROM packets WHERE status < 3 GROUP BY status")
            )
        return {"new": counts.get(Status.NEW, 0), "waiting": counts.get(Status.WAITING, 0)}

    def commit(
        self,
        arrivals: Sequence[Arrival],
        births: Sequence[Birth] = (),
        rejects: Mapping[str, int] | None = None,
    ) -> Counter[int]:
        """Store what arrived, in one transaction.

        Returns
        -------
        Counter of int
            Frames that wait, by the short id of their bundle.
        """
        frames = (a.packet for a in arrivals if a.packet.kind is Kind.FRAME)
        with self._database.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO boots (node, boot, booted_unix_ns, birth)"
                " VALUES (?, ?, ?, ?)",
                [(birth.node, birth.boot, birth.booted_unix_ns, birth.body) for birth in births],
            )
            db.executemany(
                "INSERT INTO rejects VALUES (?, ?)"
                " ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count",
                (rejects or {}).items(),
            )
            for arrival in arrivals:
                self._insert(db, arrival)
        return Counter(frame.bundle for frame in frames if frame.bundle not in self._wires)

    def _insert(self, db: sqlite3.Connection, arrival: Arrival) -> None:
        node, packet = arrival.node, arrival.packet
        status = Status.DONE
        if packet.kind is Kind.FRAME:
            status = Status.NEW if packet.bundle in self._wires else Status.WAITING
        row = (node, packet.boot, packet.pkt, packet.kind, packet.seq, packet.bundle)
        db.execute(
            "INSERT INTO packets"
            " (node, boot, pkt, kind, seq, bundle, received_ns, status, raw)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node, boot, pkt) DO NOTHING",
            (*row, arrival.received_ns, status, arrival.raw),
        )
        db.executemany(
            "INSERT INTO drops VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(node, packet.boot, drop.first, drop.count, drop.reason) for drop in arrival.drops],
        )

    def settled(self, node: str, boot: int) -> list[tuple[int, int]]:
        """Packets of a boot that are stored or reported dropped.

        Returns
        -------
        list of (first, count)
            By rising first number; ranges may overlap.
        """
        with self._database.transaction() as db:
            return db.execute(_SETTLED, {"node": node, "boot": boot}).fetchall()

    def claim(self, limit: int) -> list[Job]:
        """Take the newest frames in hand, so that a backlog never delays live frames.

        A frame that was in hand when an earlier process ended comes alone: should it be what
        ends processes, it takes no other frame with it.

        Returns
        -------
        list of Job
            At most ``limit``, oldest first.
        """
        with self._database.transaction() as db:
            rows = db.execute(_OPEN_FRAMES, (limit,)).fetchall()
            untried = [row for row in rows if row[-1] == 0]
            chosen = sorted(untried or rows[:1])
            db.executemany(
                "UPDATE packets SET status = 1, attempts = attempts + 1 WHERE id = ?",
                [(row[0],) for row in chosen],
            )
            return [_job(db, row) for row in chosen]

    def job(self, key: FrameKey) -> Job | None:
        """Read a stored frame with the parts that have come since, to decode it again."""
        query = _OPEN_FRAMES.replace(
            "p.status = 0 AND p.status < 3",
            "p.node = ? AND p.boot = ? AND p.pkt = ? AND p.kind = 0",
        )
        with self._database.transaction() as db:
            row = db.execute(query, (key.node, key.boot, key.seq, 1)).fetchone()
            return _job(db, row) if row else None

    def finish(self, outcomes: Sequence[Outcome]) -> list[tuple[Result, bool]]:
        """Store what became of jobs, in one transaction.

        Returns
        -------
        list of (Result, bool)
            The results that are new, and whether each is now its node's latest.
        """
        fresh: list[tuple[Result, bool]] = []
        with self._database.transaction() as db:
            for outcome in outcomes:
                key = outcome.job.key
                status = Status.FAILED if outcome.failure else Status.DONE
                db.execute("UPDATE packets SET status = ? WHERE id = ?", (status, outcome.job.id))
                if outcome.failure:
                    row = (key.node, key.boot, key.seq, *outcome.failure)
                    db.execute(
                        "INSERT INTO failures VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row
                    )
                fresh += [(r, _is_latest(db, r)) for r in outcome.results if _is_new(db, r)]
        return fresh

    def latest(self) -> list[tuple[str, str, str]]:
        """Node, task and JSON of each node's latest result of each task."""
        with self._database.transaction() as db:
            return db.execute(
                "SELECT l.node, l.task, r.body FROM latest l"
                " JOIN results r USING (node, boot, seq, head)"
            ).fetchall()

    def account(self) -> dict[str, int]:
        """Count what became of every frame: stored ones by status, and ``dropped.REASON``.

        Reads the whole store: for tests and reports, not for every minute.
        """
        with self._database.transaction() as db:
            stored = db.execute(
                "SELECT status, count(*) FROM packets WHERE kind = 0 GROUP BY status"
            ).fetchall()
            dropped = db.execute("SELECT reason, sum(count) FROM drops GROUP BY reason").fetchall()
        return {
            **{Status(status).name.lower(): count for status, count in stored},
            **{f"dropped.{Reason(reason).name.lower()}": count for reason, count in dropped},
        }


def _job(db: sqlite3.Connection, row: tuple[int, str, int, int, int, int, int, bytes, int]) -> Job:
    ident, node, boot, seq, bundle, received_ns, booted_unix_ns, raw, _ = row
    parts = [part for (part,) in db.execute(_PARTS, (node, boot, seq))]
    key = FrameKey(node, boot, seq)
    return Job(ident, key, bundle, received_ns, booted_unix_ns, (raw, *parts))


def _is_new(db: sqlite3.Connection, result: Result) -> bool:
    key = result.key
    row = (key.node, key.boot, key.seq, result.head, result.task, result.to_json())
    done = db.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
    return done.rowcount > 0


def _is_latest(db: sqlite3.Connection, result: Result) -> bool:
    key = result.key
    current = db.execute(
        "SELECT boot FROM boots WHERE node = ? ORDER BY id DESC LIMIT 1", (key.node,)
    ).fetchone()
    row = {
        "node": key.node,
        "task": result.task,
        "boot": key.boot,
        "seq": key.seq,
        "head": result.head,
        "current": current[0] if current else None,
    }
    return db.execute(_LATEST, row).rowcount > 0
