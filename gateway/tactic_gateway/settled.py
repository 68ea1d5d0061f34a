"""Which packet numbers of a boot are settled, as ranges that outlive the packets.

A number is settled once its packet is stored or reported given up, and stays so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from tactic_delivery.ranges import Range, RangeSet

NodeBoot = tuple[str, int]

#: With more new ranges than this, a boot is read and written as a whole.
_FEW = 16


def settle(db: sqlite3.Connection, numbers: Mapping[NodeBoot, RangeSet]) -> None:
    """Add numbers to what is settled of each boot."""
    for where, fresh in numbers.items():
        if len(fresh) > _FEW:
            whole = RangeSet(load(db, *where))
            for each in fresh:
                whole.add(*each)
            db.execute("DELETE FROM settled WHERE node = ? AND boot = ?", where)
            _insert(db, where, whole)
        else:
            for each in fresh:
                _merge(db, where, each)


def load(db: sqlite3.Connection, node: str, boot: int) -> list[tuple[int, int]]:
    """Ranges (first, count) of a boot, in rising order; they do not touch."""
    query = "SELECT first, count FROM settled WHERE node = ? AND boot = ? ORDER BY first"
    return db.execute(query, (node, boot)).fetchall()


def _merge(db: sqlite3.Connection, where: NodeBoot, fresh: Range) -> None:
    first, stop = fresh.first, fresh.stop
    replaced = []
    query = (
        "SELECT first, count FROM settled WHERE node = ? AND boot = ? AND first <= ?"
        " ORDER BY first DESC"
    )
    for begin, count in db.execute(query, (*where, stop)):
        if begin + count < fresh.first:
            break
        replaced.append((*where, begin))
        first, stop = min(first, begin), max(stop, begin + count)
    db.executemany("DELETE FROM settled WHERE node = ? AND boot = ? AND first = ?", replaced)
    _insert(db, where, [(first, stop - first)])


def _insert(db: sqlite3.Connection, where: NodeBoot, ranges: Iterable[tuple[int, int]]) -> None:
    rows = ((*where, first, count) for first, count in ranges)
    db.executemany("INSERT INTO settled VALUES (?, ?, ?, ?)", rows)
