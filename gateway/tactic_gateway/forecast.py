"""How long the disk lasts: what comes in on a day, and when the room for it ends."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass

from tactic_gateway.accounts import DAY_NS
from tactic_gateway.condition import disk_room
from tactic_gateway.config import GatewayConfig
from tactic_gateway.config import Retention as Settings
from tactic_gateway.purge import PRIORITIES, used_bytes

#: The mean is taken over the latest days, as many as this.
WINDOW_DAYS = 7

#: What a row of a packet costs beside its bytes, before there is anything to measure it by.
_USUAL_FACTOR = 2.0
_LEAST_DAYS = 1 / 24


@dataclass(frozen=True, slots=True)
class Stream:
    """What one node sends in one class: means of a day; bytes are those of packets."""

    node: str
    priority: int
    packets_a_day: float
    bytes_a_day: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where it leads to.

    Attributes
    ----------
    streams : list of Stream
    days_measured : float
    store_bytes : int
        Pages of the store in use.
    factor : float
        Bytes of the store for each byte of packets: rows, indices and results.
    growth_bytes_a_day : float
        Of the store, before anything is deleted.
    free_bytes : int
        Room on the disk, without what has to stay free.
    max_bytes : int or None
        The cap of [retention].
    days_to_cap, days_to_full : float or None
        Until the store reaches its cap, and until its disk has no more room; None: never.
    """

    streams: list[Stream]
    days_measured: float
    store_bytes: int
    factor: float
    growth_bytes_a_day: float
    free_bytes: int
    max_bytes: int | None
    days_to_cap: float | None
    days_to_full: float | None

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def forecast(db: sqlite3.Connection, config: GatewayConfig, now_ns: int) -> Forecast:
    """Measure the latest days and go on like that.

    Parameters
    ----------
    db : sqlite3.Connection
    config : GatewayConfig
    now_ns : int
        Unix time.
    """
    begin_ns = _begin(db, now_ns)
    days = max((now_ns - begin_ns) / DAY_NS, _LEAST_DAYS)
    rows = db.execute(
        "SELECT node, priority, sum(packets), sum(bytes) FROM traffic"
        " WHERE day BETWEEN ? AND ? GROUP BY node, priority ORDER BY node, priority",
        (begin_ns // DAY_NS, now_ns // DAY_NS),
    ).fetchall()
    streams = [Stream(node, p, packets / days, size / days) for node, p, packets, size in rows]
    used, factor = used_bytes(db), _factor(db)
    growth = factor * sum(each.bytes_a_day for each in streams)
    free = max(0, disk_room(config.store.path) - config.store.min_free_bytes)
    settings = config.retention
    most = _most_bytes(streams, settings, factor)
    cap = settings.max_bytes
    to_cap = _days(used, cap, growth) if cap is not None and (most is None or most > cap) else None
    ends = [size for size in (most, cap) if size is not None]
    bounded = bool(ends) and min(ends) - used <= free
    to_full = None if bounded else _days(0, free, growth)
    return Forecast(streams, days, used, factor, growth, free, cap, to_cap, to_full)


def _begin(db: sqlite3.Connection, now_ns: int) -> int:
    """Since when traffic is known, but not longer than the window."""
    first = db.execute("SELECT min(day) FROM traffic WHERE day <= ?", (now_ns // DAY_NS,))
    day = first.fetchone()[0]
    earliest = db.execute("SELECT received_ns FROM packets ORDER BY id LIMIT 1").fetchone()
    begin_ns = now_ns if day is None else day * DAY_NS
    if earliest and day == earliest[0] // DAY_NS:
        begin_ns = max(begin_ns, int(earliest[0]))
    # The window begins with a whole day: a day's traffic is one number.
    return int(max(begin_ns, (now_ns // DAY_NS - WINDOW_DAYS + 1) * DAY_NS))


def _factor(db: sqlite3.Connection) -> float:
    packets, size = db.execute("SELECT sum(packets), sum(bytes) FROM traffic").fetchone()
    stored, purged = db.execute(
        "SELECT sum(frames + parts + reports), sum(purged_frames + purged_parts + purged_reports)"
        " FROM accounts"
    ).fetchone()
    if not packets or not size or stored == purged:
        return _USUAL_FACTOR
    return float(max(1.0, used_bytes(db) / (size / packets * (stored - purged))))


def _most_bytes(streams: list[Stream], settings: Settings, factor: float) -> float | None:
    """Size at which as much is deleted by age as comes in; None where nothing is."""
    if settings.packets_days is None or settings.results_days is None:
        return None
    kept = zip(settings.packets_days, settings.results_days, strict=True)
    longest = [max(each) for each in kept]
    rates = [sum(s.bytes_a_day for s in streams if s.priority == p) for p in PRIORITIES]
    return factor * sum(rate * days for rate, days in zip(rates, longest, strict=True))


def _days(used: int, end: int, growth: float) -> float | None:
    if used >= end:
        return 0.0
    return (end - used) / growth if growth > 0 else None
