"""How much was ever stored of each boot, and what came in on each day.

These counts are written with the packets, in one transaction, and outlive them.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from tactic_codec.drop import Reason
from tactic_codec.packet import Kind
from tactic_gateway.records import Arrival, Status

DAY_NS = 86_400 * 1_000_000_000

COLUMNS = {Kind.FRAME: "frames", Kind.PART: "parts", Kind.DROP: "reports"}

_KINDS = (Kind.FRAME, Kind.PART, Kind.DROP)
_STORED = (
    "INSERT INTO accounts (node, boot, frames, parts, reports) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (node, boot) DO UPDATE SET frames = frames + excluded.frames,"
    " parts = parts + excluded.parts, reports = reports + excluded.reports"
)
_GIVEN_UP = (
    "INSERT INTO given_up VALUES (?, ?, ?, ?) ON CONFLICT (node, boot, reason)"
    " DO UPDATE SET count = count + excluded.count"
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
    given_up: Counter[tuple[str, int, int]] = Counter()
    for a in arrivals:
        for drop in a.drops:
            given_up[a.node, a.packet.boot, drop.reason] += drop.count
    db.executemany(_GIVEN_UP, [(*of, count) for of, count in given_up.items()])
    packets: Counter[tuple[int, str, int]] = Counter()
    sizes: Counter[tuple[int, str, int]] = Counter()
    for a in arrivals:
        of = (a.received_ns // DAY_NS, a.node, a.packet.priority)
        packets[of] += 1
        sizes[of] += len(a.raw)
    db.executemany(_TRAFFIC, [(*of, count, sizes[of]) for of, count in packets.items()])


def totals(db: sqlite3.Connection) -> dict[str, int]:
    """Count what became of every frame: stored ones by what they are now, and ``dropped.REASON``.

    Reads what is counted and not the packets: a million of them are no matter.
    """
    frames, purged = db.execute(
        "SELECT ifnull(sum(frames), 0), ifnull(sum(purged_frames), 0) FROM accounts"
    ).fetchone()
    now = dict(
        db.execute(
            "SELECT status, count(*) FROM packets WHERE status < 3 GROUP BY status"
        ).fetchall()
    )
    now[Status.FAILED] = db.execute("SELECT count(*) FROM failures").fetchone()[0]
    now[Status.DONE] = frames - purged - sum(now.values())
    dropped = db.execute("SELECT reason, sum(count) FROM given_up GROUP BY reason").fetchall()
    found = {
        **{Status(status).name.lower(): count for status, count in sorted(now.items())},
        "purged": purged,
        **{f"dropped.{Reason(reason).name.lower()}": count for reason, count in dropped},
    }
    return {name: count for name, count in found.items() if count}
