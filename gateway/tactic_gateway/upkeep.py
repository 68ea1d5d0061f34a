"""``tactic store gc``: what retention would delete, now, and room back to the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tactic_gateway.config import Retention
from tactic_gateway.database import Database, held
from tactic_gateway.errors import StoreError
from tactic_gateway.purge import Purged, give_back
from tactic_gateway.retention import purge

_BREATH_S = 0.01
_PAGES = 512
_INCREMENTAL = 2


@dataclass(frozen=True, slots=True)
class Collected:
    """What was done.

    Attributes
    ----------
    purged : Purged
    before_bytes, after_bytes : int
        Size of the file.
    vacuumed : bool
        False where the file can only be made smaller while no gateway has it open.
    """

    purged: Purged
    before_bytes: int
    after_bytes: int
    vacuumed: bool


def collect(
    path: Path, settings: Retention, now_ns: int, advance: Callable[[Purged], None]
) -> Collected:
    """Delete what has to go, and make the file smaller; a gateway may be running.

    Parameters
    ----------
    path : Path
    settings : Retention
    now_ns : int
        Unix time. Whoever calls believes it.
    advance : callable (Purged)
        Told what was deleted, again and again.

    Raises
    ------
    StoreError
        There is no store, or it cannot be written.
    """
    if not path.exists():
        raise StoreError(f"{path}: no such store; check [store] path")
    before = path.stat().st_size
    database = Database(path)
    try:
        done = Purged()
        for purged in purge(database, settings, now_ns):
            done += purged
            advance(purged)
            time.sleep(_BREATH_S)  # a gateway that waits for its turn gets it
        vacuumed = _vacuum(database, path)
    finally:
        database.close()
    return Collected(done, before, path.stat().st_size, vacuumed)


def _vacuum(database: Database, path: Path) -> bool:
    with database.transaction() as db:
        steps = db.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL
    if steps:
        while give_back(database, _PAGES):
            time.sleep(_BREATH_S)
    with held(path) as alone:
        if not steps and alone:
            database.rebuild()
        if alone:
            database.checkpoint()
        return steps or alone
