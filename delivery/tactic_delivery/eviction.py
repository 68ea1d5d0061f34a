"""Which packets to give up when there is no room: lowest class first, oldest first."""

from __future__ import annotations

from collections.abc import Iterable

from tactic_codec.packet import Kind
from tactic_delivery.entry import Entry


def choose(
    entries: Iterable[Entry], newcomer: Entry, need_bytes: int, goal_bytes: int
) -> list[Entry]:
    """Choose what makes room for ``newcomer``.

    Parameters
    ----------
    entries : iterable of Entry
        What is waiting. DROP packets are never chosen: they account for what was.
    newcomer : Entry
        A packet about to be put; nothing of a higher class gives way to it.
    need_bytes, goal_bytes : int
        Bytes without which it cannot be put, and bytes to free while at it, so that the next
        puts need no eviction of their own.

    Returns
    -------
    list of Entry
        The victims, or ``[newcomer]`` alone if they would not free ``need_bytes``.
    """
    candidates = sorted(
        (e for e in entries if e.kind is not Kind.DROP and e.priority <= newcomer.priority),
        key=lambda e: (e.priority, e.key),
    )
    victims: list[Entry] = []
    freed_bytes = 0
    for entry in candidates:
        if freed_bytes >= goal_bytes:
            break
        victims.append(entry)
        freed_bytes += entry.size_bytes
    return victims if freed_bytes >= need_bytes else [newcomer]
