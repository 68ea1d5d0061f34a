"""Stored packets once more, by the heads that the configured bundles have now.

Results of several models of a head stand side by side. What has a result of every head's present
model is passed over, so it may be stopped and started at any time, and run beside a gateway: it
leaves alone what the gateway has not decoded yet, and what the topics show as latest.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from tactic_codec.bundle import Bundle
from tactic_gateway.bundles import open_bundles, setup
from tactic_gateway.config import GatewayConfig
from tactic_gateway.database import Database, reading
from tactic_gateway.errors import WorkerLostError
from tactic_gateway.jobs import FRAMES, insert_result, read_job
from tactic_gateway.outcomes import outcome
from tactic_gateway.process import Process, Worker
from tactic_gateway.records import Job, Outcome, Status
from tactic_gateway.results import Verdict, model_of

_START_S = 120.0
_NICENESS = 10
_LOOK = 256

_SEEN = "SELECT head, model FROM results WHERE node = ? AND boot = ? AND seq = ?"
_DECODED = f"""
{FRAMES} WHERE p.id > ? AND p.kind = 0 AND p.status >= {Status.DONE} AND p.received_ns >= ?
    AND (? IS NULL OR p.node = ?) ORDER BY p.id LIMIT {_LOOK}
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which frames.

    Attributes
    ----------
    since_ns : int
        Unix time; those received earlier are passed over.
    node : str or None
        Those of one node.
    limit : int or None
        At most so many.
    """

    since_ns: int = 0
    node: str | None = None
    limit: int | None = None


@dataclass(slots=True)
class Tally:
    """What was done: frames tried, results that are new, failures by reason."""

    frames: int = 0
    results: int = 0
    failed: Counter[str] = field(default_factory=Counter)


def reprocess(config: GatewayConfig, wanted: Wanted, advance: Callable[[int, int], None]) -> Tally:
    """Run the present heads over stored frames that they have not seen.

    Parameters
    ----------
    config : GatewayConfig
    wanted : Wanted
    advance : callable (int, int)
        Told again and again how far it is: a row of the store, and the last row.

    Raises
    ------
    TacticError
        A bundle or the store cannot be used.
    """
    bundles = open_bundles(config)
    os.nice(_NICENESS)  # what arrives now comes first
    tally = Tally()
    worker = Process(setup(config, bundles))
    with (
        reading(config.store.path) as db,
        closing(Database(config.store.path)) as database,
    ):
        worker.start(_patience(_START_S))
        try:
            for jobs in _batches(db, bundles, wanted, config.workers.batch, advance):
                limit_s = config.workers.batch_limit_s
                verdicts = [v for part in _verdicts(worker, jobs, limit_s) for v in part]
                pairs = zip(jobs, verdicts, strict=True)
                now_ns = time.time_ns()
                _store(database, [outcome(job, v, now_ns) for job, v in pairs], tally)
        finally:
            worker.stop()
    return tally


def _batches(
    db: sqlite3.Connection,
    bundles: Mapping[int, Bundle],
    wanted: Wanted,
    batch: int,
    advance: Callable[[int, int], None],
) -> Iterator[list[Job]]:
    heads = {
        wire: {(head.name, model_of(head)) for head in bundle.manifest.heads}
        for wire, bundle in bundles.items()
    }
    last, given = 0, 0
    jobs: list[Job] = []
    (end,) = db.execute("SELECT ifnull(max(id), 0) FROM packets").fetchone()
    node = wanted.node
    while rows := db.execute(_DECODED, (last, wanted.since_ns, node, node)).fetchall():
        for row in rows:
            last, bundle = row[0], row[4]
            if given == wanted.limit:
                break
            if heads.get(bundle, set()) - set(db.execute(_SEEN, row[1:4]).fetchall()):
                jobs.append(read_job(db, row))
                given += 1
            if len(jobs) == batch:
                yield jobs
                jobs = []
        advance(last, end)
        if given == wanted.limit:
            break
    if jobs:
        yield jobs


def _verdicts(worker: Worker, jobs: Sequence[Job], limit_s: float) -> Iterator[list[Verdict]]:
    """Verdicts of a batch; one by one where the worker is lost."""
    try:
        yield worker.process(jobs, _patience(limit_s))
    except WorkerLostError as lost:
        worker.start(_patience(_START_S))
        if len(jobs) == 1:
            yield [Verdict(failure=(lost.reason, lost.detail))]
        else:
            for job in jobs:
                yield from _verdicts(worker, [job], limit_s)


def _store(database: Database, outcomes: Sequence[Outcome], tally: Tally) -> None:
    with database.transaction() as db:
        for each in outcomes:
            job, key = each.job, each.job.key
            tally.frames += 1
            if each.failure:
                tally.failed[each.failure[0]] += 1
                continue
            if not db.execute("SELECT 1 FROM packets WHERE id = ?", (job.id,)).fetchone():
                continue  # retention was quicker
            tally.results += sum(insert_result(db, job, result) for result in each.results)
            changed = db.execute(
                "UPDATE packets SET status = 3 WHERE id = ? AND status = 4", (job.id,)
            )
            if changed.rowcount:
                where = (key.node, key.boot, key.seq)
                db.execute("DELETE FROM failures WHERE node = ? AND boot = ? AND seq = ?", where)


def _patience(limit_s: float) -> Callable[[], float]:
    end_s = time.monotonic() + limit_s
    return lambda: end_s - time.monotonic()
