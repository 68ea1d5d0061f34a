"""The store: every packet as it came, and everything that was made of it.

Only what is committed here is acknowledged. ``schema/NNN.sql`` describes the tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tactic_codec.packet import Kind
from tactic_codec.types import FrameKey
from tactic_gateway import accounts, jobs, ledgers, settled
from tactic_gateway.database import Database
from tactic_gateway.records import Arrival, Birth, Job, Ledger, Outcome, Status
from tactic_gateway.results import Result

#: Births kept of each node, the latest.
MAX_BIRTHS = 1000

_FEWER_BIRTHS = f"""
DELETE FROM boots WHERE node = ? AND id <= (
    SELECT id FROM boots WHERE node = ? ORDER BY id DESC LIMIT 1 OFFSET {MAX_BIRTHS})
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
            reopened = self._reopen(db, stored)
            accounts.book(db, stored)
            settled.settle(db, _numbers(arrivals))
            for ledger, before in health:
                ledgers.note(db, ledger, arrivals[before:])
        bundles = Counter(a.packet.bundle for a in stored if a.packet.kind is Kind.FRAME)
        waiting = Counter({w: count for w, count in bundles.items() if w not in self._wires})
        self._backlog += bundles.total() - waiting.total() + reopened
        return waiting

    def _reopen(self, db: sqlite3.Connection, stored: Sequence[Arrival]) -> int:
        wires = json.dumps(sorted(self._wires))
        return sum(
            jobs.reopen(db, FrameKey(a.node, a.packet.boot, a.packet.seq), wires)
            for a in stored
            if a.packet.kind is Kind.PART
        )

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
            return jobs.claim(db, limit)

    def strike(self, in_hand: Sequence[Job], reason: str, detail: str) -> list[FrameKey]:
        """Give frames back that were in hand when a worker was lost.

        Those that have been so `jobs.MOST_STRIKES` times have failed: they stay stored, and are
        not tried again.

        Returns
        -------
        list of FrameKey
            The frames that have failed.
        """
        with self.database.transaction() as db:
            failed = [job.key for job in in_hand if jobs.strike(db, job, reason, detail)]
        self._backlog -= len(failed)
        return failed

    def job(self, key: FrameKey) -> Job | None:
        """Read a stored frame with the parts that have come since, to decode it again."""
        with self.database.transaction() as db:
            return jobs.find(db, key)

    def finish(self, outcomes: Sequence[Outcome]) -> list[tuple[Result, bool]]:
        """Store what became of jobs, in one transaction.

        Returns
        -------
        list of (Result, bool)
            The results that are new, and whether each is now its node's latest.
        """
        with self.database.transaction() as db:
            done = [jobs.finish(db, outcome) for outcome in outcomes]
        self._backlog -= sum(not again for _, again in done)
        return [result for fresh, _ in done for result in fresh]

    def current_boot(self, node: str) -> int | None:
        """The boot that a node announced last; None where it never did."""
        with self.database.transaction() as db:
            return jobs.current_boot(db, node)

    def latest(self) -> list[tuple[str, str, str]]:
        """Node, task and JSON of each node's latest result of each task."""
        with self.database.transaction() as db:
            return db.execute(
                "SELECT l.node, l.task, r.body FROM latest l"
                " JOIN results r USING (node, boot, seq, head, model, parts)"
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
