"""How much was ever stored of each boot, and what came in on each day.

These counts are written with the packets, in one transaction, and outlive them.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from tactic_codec.packet import Kind
from tactic_gateway.records import Arrival

DAY_NS = 86_400 * 1_000_000_000

_KINDS = (Kind.FRAME, Kind.PART, Kind.DROP)
_STORED = (
    "INSERT INTO accounts (node, boot, frames, parts, reports) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (node, boot) DO UPDATE SET frames = frames + excluded.frames,"
    " parts = parts + excluded.parts, reports = reports + excluded.reports"
)
_TRAFFIC = (
    "INSERT INTO traffic VALUES (?, ?, ?, ?, ?) ON CONFLICT (day, node, priority)"
    " DO UPDATE SET packets = packets + excluded.packets, bytes = bytes + excluded.bytes"
)


def book(db: sqlite3.Connection, arrivals: Sequence[Arrival]) -> None:
    """Count packets that are being stored; each must be new."""
    stored = Counter((a.node, a.packet.boot, a.packet.kind) for a in arrivals)
    boots = sorted({(node, boot) for node, boot, _ in stored})
    db.executemany(_STORED, [(*at, *(stored[*at, kind] for kind in _KINDS)) for at in boots])
    packets: Counter[tuple[int, str, int]] = Counter()
    sizes: Counter[tuple[int, str, int]] = Counter()
    for a in arrivals:
        of = (a.received_ns // DAY_NS, a.node, a.packet.priority)
        packets[of] += 1
        sizes[of] += len(a.raw)
    db.executemany(_TRAFFIC, [(*of, count, sizes[of]) for of, count in packets.items()])
