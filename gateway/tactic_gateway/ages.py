"""How old something is, by a wall clock that may jump.

A gateway without a battery clock may start in 1970, and a wrong time server may take it ten years
ahead: then everything would be old enough to delete. So after a jump nothing has an age for a day,
in which somebody can see it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tactic_gateway.database import Database
from tactic_gateway.log import Log

_HOUR_NS = 3600 * 1_000_000_000
DAY_NS = 24 * _HOUR_NS
#: As long as this a gateway may have been switched off.
_AWAY_NS = 400 * DAY_NS


class Ages:
    """The wall clock, where it can be believed.

    Parameters
    ----------
    database : Database
        Remembers the last time that was believed.
    log : Log
    wall_ns, steady_ns : callable
        Unix time, and a clock that does not jump.
    """

    def __init__(
        self,
        database: Database,
        log: Log,
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._database = database
        self._log = log
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._seen: tuple[int, int] | None = None
        self._held_until_ns: int | None = None

    def now_ns(self) -> int | None:
        """Unix time, or None while it is not believed.

        Raises
        ------
        StoreError
            The time cannot be remembered.
        """
        wall_ns, steady_ns = self._wall_ns(), self._steady_ns()
        if self._jumped(wall_ns, steady_ns):
            self._held_until_ns = steady_ns + DAY_NS
            remedy = "nothing is deleted by age for a day; check the clock, or tactic store gc"
            self._log.warning("clock_jumped", remedy=remedy)
        self._seen = wall_ns, steady_ns
        if self._held_until_ns is not None and steady_ns < self._held_until_ns:
            return None
        self._held_until_ns = None
        with self._database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES ('wall_ns', ?)", (str(wall_ns),))
        return wall_ns

    def _jumped(self, wall_ns: int, steady_ns: int) -> bool:
        if self._seen is not None:
            before_ns, then_ns = self._seen
            return abs(wall_ns - before_ns - (steady_ns - then_ns)) > _HOUR_NS
        with self._database.transaction() as db:
            row = db.execute("SELECT value FROM notes WHERE name = 'wall_ns'").fetchone()
        last_ns = int(row[0]) if row else wall_ns
        return not last_ns - _HOUR_NS <= wall_ns <= last_ns + _AWAY_NS
