"""What is kept how long: by age and by bytes, the lowest class first.

Runs beside everything else, in transactions of some hundred rows, so that nothing waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from tactic_gateway.accounts import DAY_NS
from tactic_gateway.ages import Ages
from tactic_gateway.condition import Condition
from tactic_gateway.config import Retention as Settings
from tactic_gateway.database import Database
from tactic_gateway.errors import StoreError
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.purge import PRIORITIES, Purged, give_back, purge_old, purge_oldest, used_bytes

#: Traffic of as many days is kept for the forecast.
TRAFFIC_DAYS = 400

_PASS_S = 60.0
_BREATH_S = 0.02
_PAGES = 512
#: More of the file than this may lie empty before pages go back to the disk: they are used again.
_EMPTY_SHARE = 0.25


class Retention:
    """The thread that deletes.

    Parameters
    ----------
    database : Database
    settings : config.Retention
    condition : Condition
        Nothing is deleted while the store fails.
    ages : Ages
    metrics : Metrics
    log : Log
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        condition: Condition,
        ages: Ages,
        *,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._database = database
        self._settings = settings
        self._condition = condition
        self._ages = ages
        self._metrics = metrics
        self._log = log

    def run(self, stop: threading.Event) -> None:
        """Delete what has to go, every minute, until ``stop`` is set."""
        while not stop.wait(_PASS_S):
            done = Purged()
            try:
                for purged in purge(self._database, self._settings, self._ages.now_ns()):
                    done += purged
                    if stop.wait(_BREATH_S):
                        break
                self._shrink(stop)
            except StoreError as fault:
                self._condition.failed(fault)
            self._count(done)

    def _shrink(self, stop: threading.Event) -> None:
        with self._database.transaction() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            empty = db.execute("PRAGMA freelist_count").fetchone()[0]
        if empty > _EMPTY_SHARE * pages:
            while give_back(self._database, _PAGES) and not stop.wait(_BREATH_S):
                pass

    def _count(self, done: Purged) -> None:
        self._metrics.add("purged.packets", done.packets)
        self._metrics.add("purged.results", done.results)
        if done:
            self._log.info("purged", packets=done.packets, results=done.results, unseen=done.unseen)


def purge(database: Database, settings: Settings, now_ns: int | None) -> Iterator[Purged]:
    """Delete what has to go, chunk by chunk.

    Parameters
    ----------
    database : Database
    settings : config.Retention
    now_ns : int or None
        Unix time; None: nothing has an age.
    """
    if now_ns is not None:
        for priority in PRIORITIES:
            packets_ns = _before(now_ns, settings.packets_days, priority)
            results_ns = _before(now_ns, settings.results_days, priority)
            while purged := purge_old(database, priority, packets_ns, results_ns):
                yield purged
        with database.transaction() as db:
            db.execute("DELETE FROM traffic WHERE day < ?", (now_ns // DAY_NS - TRAFFIC_DAYS,))
    while settings.max_bytes is not None and _used(database) > settings.max_bytes:
        if not (purged := purge_oldest(database)):
            return
        yield purged


def _before(now_ns: int, days: tuple[float, ...] | None, priority: int) -> int:
    return now_ns - int(days[priority] * DAY_NS) if days is not None else 0


def _used(database: Database) -> int:
    with database.transaction() as db:
        return used_bytes(db)
