"""Which packet numbers of a boot are settled, as ranges that outlive the packets.

A number is settled once its packet is stored or reported given up, and stays so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

NodeBoot = tuple[str, int]
Ranges = list[tuple[int, int]]
"""(first, count) of each."""

#: With more new ranges than this, a boot is read and written as a whole.
_FEW = 16


def settle(db: sqlite3.Connection, numbers: Mapping[NodeBoot, Ranges]) -> None:
    """Add numbers to what is settled of each boot."""
    for where, ranges in numbers.items():
        fresh = merged(ranges)
        if len(fresh) > _FEW:
            whole = merged(load(db, *where) + fresh)
            db.execute("DELETE FROM settled WHERE node = ? AND boot = ?", where)
            _insert(db, where, whole)
        else:
            for first, count in fresh:
                _merge(db, where, first, first + count)


def merged(ranges: Ranges) -> Ranges:
    """The same numbers in rising order, in ranges that neither overlap nor touch."""
    found: Ranges = []
    begin = end = -1
    for first, count in sorted(ranges):
        if first > end:
            if begin >= 0:
                found.append((begin, end - begin))
            begin = first
        end = max(end, first + count)
    return [*found, (begin, end - begin)] if begin >= 0 else found


def load(db: sqlite3.Connection, node: str, boot: int) -> Ranges:
    """Ranges (first, count) of a boot, in rising order; they do not touch."""
    query = "SELECT first, count FROM settled WHERE node = ? AND boot = ? ORDER BY first"
    return db.execute(query, (node, boot)).fetchall()


def _merge(db: sqlite3.Connection, where: NodeBoot, first: int, stop: int) -> None:
    lowest = first
    replaced = []
    query = (
        "SELECT first, count FROM settled WHERE node = ? AND boot = ? AND first <= ?"
        " ORDER BY first DESC"
    )
    for begin, count in db.execute(query, (*where, stop)):
        if begin + count < lowest:
            break
        replaced.append((*where, begin))
        first, stop = min(first, begin), max(stop, begin + count)
    db.executemany("DELETE FROM settled WHERE node = ? AND boot = ? AND first = ?", replaced)
    _insert(db, where, [(first, stop - first)])


def _insert(db: sqlite3.Connection, where: NodeBoot, ranges: Iterable[tuple[int, int]]) -> None:
    rows = ((*where, first, count) for first, count in ranges)
    db.executemany("INSERT INTO settled VALUES (?, ?, ?, ?)", rows)
