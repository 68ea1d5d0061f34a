"""What ``tactic store …``, ``tactic audit`` and ``tactic reprocess`` do and show."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from tactic.store.outbox import read_outbox
from tactic_gateway import accounts, audit, config, forecast, fsck, upkeep
from tactic_gateway.config import GatewayConfig
from tactic_gateway.database import Database, reading
from tactic_gateway.errors import AuditError, DamageError
from tactic_gateway.keys import Keys
from tactic_gateway.purge import Purged

MIB = 1 << 20


@contextmanager
def progress(text: str, total: float | None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar where somebody looks, else nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield bar, bar.add_task(text, total=total)


def run_fsck(path: Path, mend: bool, as_json: bool) -> None:
    """Look at everything in the store of a configuration; mend what can be derived.

    Raises
    ------
    DamageError
        Something is wrong, and still is.
    """
    store = config.load(path).store.path
    findings = _check(store)
    if mend and findings:
        database = Database(store)
        try:
            fsck.repair(database)
        finally:
            database.close()
        mended = [each for each in findings if each.remedy == fsck.REPAIR]
        Console(stderr=True).print(f"mended: {len(mended)} of {len(findings)}")
        findings = _check(store)
    if as_json:
        print(json.dumps({"store": str(store), "findings": [asdict(each) for each in findings]}))
    else:
        for each in findings:
            print(f"{each.what} ({each.count}): {each.remedy}")
        print(f"{store}: {'not whole' if findings else 'whole'}")
    if findings:
        raise DamageError(f"{store}: not whole ({len(findings)}); {findings[0].remedy}")


def _check(store: Path) -> list[fsck.Finding]:
    with reading(store) as db:
        (rows,) = db.execute("SELECT ifnull(max(id), 0) FROM packets").fetchone()
        with progress("looking at packets", rows or None) as (bar, task):
            return list(fsck.check(db, lambda count: bar.advance(task, count)))


def run_gc(path: Path, as_json: bool) -> None:
    """Delete what retention would, now, and give room back to the disk."""
    settings = config.load(path)
    with progress("deleting", None) as (bar, task):

        def advance(purged: Purged) -> None:
            bar.update(task, advance=purged.packets + purged.results)

        done = upkeep.collect(settings.store.path, settings.retention, time.time_ns(), advance)
    if as_json:
        print(json.dumps(asdict(done)))
        return
    purged, before, after = done.purged, done.before_bytes, done.after_bytes
    print(f"deleted {purged.packets} packets and {purged.results} results")
    print(f"{settings.store.path}: {before / MIB:.1f} MiB before, {after / MIB:.1f} MiB now")
    if not done.vacuumed:
        print("empty pages are used again; to make this file smaller, stop the gateway first")


def run_forecast(path: Path, as_json: bool) -> None:
    """Say what comes in a day, and when the room for it ends."""
    settings = config.load(path)
    with reading(settings.store.path) as db:
        found = forecast.forecast(db, settings, time.time_ns())
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    table = Table("node", "priority", "packets a day", "MiB a day", box=None)
    for each in found.streams:
        size = f"{each.bytes_a_day / MIB:.2f}"
        table.add_row(each.node, str(each.priority), f"{each.packets_a_day:.0f}", size)
    Console().print(table)
    print(
        f"measured over {found.days_measured:.1f} days; the store grows by"
        f" {found.growth_bytes_a_day / MIB:.2f} MiB a day ({found.factor:.2f} for each byte)"
    )
    cap = "no cap" if found.max_bytes is None else f"its cap of {found.max_bytes / MIB:.0f} MiB"
    print(f"{found.store_bytes / MIB:.1f} MiB of {cap}: {_when(found.days_to_cap)}")
    print(f"{found.free_bytes / MIB:.0f} MiB free on its disk: {_when(found.days_to_full)}")


def _when(days: float | None) -> str:
    if days is None:
        return "never full at this rate"
    return f"full in {days:.1f} days" if days > 0 else "full"


def run_audit(path: Path, node: str | None, outbox: Path | None, as_json: bool) -> None:
    """Prove captured = stored + dropped + pending for every node, or for one with its outbox.

    Raises
    ------
    AuditError
        Something does not balance.
    """
    settings = config.load(path)
    with reading(settings.store.path) as db:
        if node is not None and outbox is not None:
            found = read_outbox(
                outbox, Keys.load(settings.gateway.keys, settings.gateway.site).of(node)
            )
            balances = [audit.balance_by_key(db, node, found)]
        else:
            balances = [b for b in audit.balances(db) if node in (None, b.node)]
        faults = [f"{b.node}: {b.fault}" for b in balances if b.fault]
        faults += [f"{text}; run tactic store fsck" for text in audit.recount(db)]
        totals = accounts.totals(db)
    if as_json:
        nodes = [asdict(balance) for balance in balances]
        print(json.dumps({"nodes": nodes, "frames": totals, "faults": faults}))
    else:
        Console().print(_table(balances))
        print(", ".join(f"{count} {name}" for name, count in totals.items()) or "no frames")
        for fault in faults:
            print(fault)
    if faults:
        raise AuditError(f"not balanced ({len(faults)}): {faults[0]}")


def _table(balances: list[audit.Balance]) -> Table:
    heads = ("node", "as of (UTC)", "captured", "stored", "dropped", "pending", "")
    table = Table(*heads, box=None)
    for each in balances:
        if each.captured is None:
            table.add_row(each.node, "", "", str(each.stored), "", "", "no ledger heard")
            continue
        dropped = ", ".join(f"{count} {reason}" for reason, count in each.dropped.items()) or "0"
        state = "does not balance" if each.fault else "exact" if each.held == 0 else "on its way"
        numbers = (each.captured, each.stored, dropped, each.pending)
        table.add_row(each.node, _time(each.heard_ns), *map(str, numbers), state)
    return table


def _time(unix_ns: int | None) -> str:
    if unix_ns is None:
        return ""
    return datetime.fromtimestamp(unix_ns / 1e9, UTC).isoformat(" ", "seconds")[:19]


def run_reprocess(
    path: Path, since: datetime | None, node: str | None, limit: int | None, as_json: bool
) -> None:
    """Run the present heads over stored frames that they have not seen."""
    from tactic_gateway.reprocess import Wanted, reprocess

    since_ns = int(since.replace(tzinfo=since.tzinfo or UTC).timestamp() * 1e9) if since else 0
    settings: GatewayConfig = config.load(path)
    with progress("frames", None) as (bar, task):

        def advance(row: int, last: int) -> None:
            bar.update(task, completed=row, total=last)

        tally = reprocess(settings, Wanted(since_ns, node, limit), advance)
    body: dict[str, Any] = asdict(tally) | {"failed": dict(tally.failed)}
    if as_json:
        print(json.dumps(body))
        return
    failed = ", ".join(f"{count} {reason}" for reason, count in tally.failed.items()) or "none"
    print(f"{tally.frames} frames, {tally.results} new results; failed: {failed}")
