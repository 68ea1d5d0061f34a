"""``tactic eval``: a bundle beside other codecs, on pictures of your own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tactic.evaluate import about, codec, rivals
from tactic.evaluate.errors import OutputError
from tactic.evaluate.measure import measure
from tactic.evaluate.pictures import Album, open_album
from tactic.evaluate.report import show
from tactic.evaluate.result import summarise
from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_gateway.task import Task, open_task


def run_eval(
    path: Path,
    source: str,
    *,
    match: str,
    against: Sequence[str],
    limit: int | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Measure, and print tables or one JSON object.

    Parameters
    ----------
    path : Path
        The bundle.
    source, match, limit
        Which pictures; see :func:`tactic.evaluate.pictures.open_album`.
    against : sequence of str
        Names from ``rivals.RIVALS``.
    as_json : bool
        Only the JSON object on standard output; progress goes to standard error.
    out : Path or None
        Where the JSON object is written as well.

    Raises
    ------
    TacticError
        One line that names the cause and the remedy.
    """
    bundle = Bundle.open(path)
    head = _head(bundle)
    compared = [*codec.settings(bundle), *rivals.settings(against)]
    album = open_album(source, match, limit, bundle.codec.stride, head.labels, head.task)
    album.check()
    if out:
        _writable(out)
    console = Console(stderr=True, highlight=False)
    if album.left_out:
        console.print(f"{album.left_out} pictures left out: the head does not know their classes")
    with _progress(console, len(album.items) * len(compared)) as done:
        rows = measure(album, compared, head.classes, done)
    result = {
        "bundle": bundle.manifest.name,
        "bundle_id": bundle.codec.id,
        "data": source,
        "match": match,
        "head": "frozen",
        "accuracy_of": _accuracy_of(album),
        **summarise(compared, rows),
        "machine": about.machine(),
        "commit": about.commit(),
        "date": about.date(),
    }
    _give(result, as_json, out)


def _head(bundle: Bundle) -> Task:
    """The first head of the bundle."""
    if not bundle.manifest.heads:
        raise BundleError(f"{bundle.path}: a bundle without a head cannot be evaluated; export one")
    return open_task(bundle, bundle.manifest.heads[0], threads=1, top=1)


def _accuracy_of(album: Album) -> str:
    if not album.labelled:
        return "agreement"
    return "pixel" if album.classes else "class"


@contextlib.contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """A bar where somebody looks, else nothing."""
    columns = (TextColumn("pictures × settings"), BarColumn(), TextColumn("{task.completed}"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _writable(out: Path) -> None:
    """Find out before the work whether its result can be kept."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.open("a").close()
    except OSError as fault:
        raise OutputError(f"{out}: {fault.strerror}; choose another --out") from fault


def _give(result: dict[str, Any], as_json: bool, out: Path | None) -> None:
    """Show it first: a disk that is full now takes nothing away."""
    if as_json:
        print(json.dumps(result))
    else:
        show(result, Console(highlight=False))
    if out is None:
        return
    try:
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    except OSError as fault:
        raise OutputError(f"{out}: {fault.strerror}; what is printed above is all of it") from fault
    if not as_json:
        print(f"result: {out}")
