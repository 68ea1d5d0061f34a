"""``tactic link measure``, ``simulate`` and ``sweep``: traces in, tables and figures out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tactic.link.options import OUT, RIVALS, Orbit, Source, World
from tactic.link.reported import read_report
from tactic.rooms import packages_of
from tactic_link import plots, report, traces
from tactic_link.compare import Comparison, compare, shortlist
from tactic_link.errors import LinkError
from tactic_link.preset import Preset, open_preset
from tactic_link.scenario import Scenario
from tactic_link.summary import summarise
from tactic_link.traces import Traces
from tactic_link.vary import Varied, read_vary


def traces_of(source: Source, out: Path | None = None) -> Traces:
    """Read traces, or measure and keep them.

    Parameters
    ----------
    source : Source
    out : Path or None
        Measure in any case, and write them here.

    Raises
    ------
    TacticError
        There are none, and what would be needed to make them is missing.
    """
    if source.file and source.file.exists() and not out:
        read = read_report if source.file.suffix == ".json" else traces.read
        return _chosen(read(source.file), source.rivals)
    if source.bundle is None or source.photos is None:
        missing = f"{source.file}: no such file; " if source.file else ""
        raise LinkError(f"{missing}give --traces FILE, or --bundle and --photos to make them")
    with packages_of("train"):
        from tactic.link.measure import Measuring, Wanted
    wanted = Wanted(source.bundle, source.photos, source.match, source.limit, source.rivals)
    path = out or source.file or OUT / f"traces-{wanted.key()}.npz"
    if path.exists() and not out:
        return traces.read(path)
    measuring = Measuring(wanted)
    with _progress("photos × settings", measuring.steps) as done:
        measured = measuring.run(done)
    traces.write(path, measured)
    return measured


def run_simulate(
    name: str,
    source: Source,
    world: World,
    orbit: Orbit,
    *,
    seeds: int,
    jobs: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Simulate, and print tables or one JSON object.

    Raises
    ------
    TacticError
        One line that names the cause and the remedy.
    """
    scenario, warnings = world.scenario(orbit.of(open_preset(name)), orbit.start)
    found = _compare(scenario, world.loss, traces_of(source), seeds, jobs)
    result = summarise(name, found)
    if out:
        _keep(found, result, out)
    if as_json:
        print(json.dumps(result))
        return
    console = report.open_console()
    report.show_comparison(found, result, console)
    for line in warnings:
        console.print(line)
    if out:
        console.print(f"result: {out / 'result.json'}, figure: {out / 'result.png'}")


def run_sweep(
    name: str,
    vary: str,
    source: Source,
    world: World,
    *,
    seeds: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Simulate for each value of one figure.

    Raises
    ------
    TacticError
        One line that names the cause and the remedy.
    """
    preset = open_preset(name)
    varied = read_vary(vary)
    known = traces_of(source)
    points = []
    for value in varied.values:
        scenario = _varied(preset, world, varied, value)
        found = _compare(scenario, world.loss, known, seeds, jobs)
        points.append((f"{value:g}", summarise(name, found)))
    if as_json:
        rows = [{varied.key: float(value), **result} for value, result in points]
        print(json.dumps({"preset": name, "vary": varied.key, "points": rows}))
    else:
        report.show_sweep(varied.key, points, report.open_console())


def _varied(preset: Preset, world: World, varied: Varied, value: float) -> Scenario:
    worlds = {"days": "days", "nodes": "nodes", "fps": "fps", "outbox": "outbox_mb"}
    if field := worlds.get(varied.key):
        changed: dict[str, Any] = {field: int(value) if field == "nodes" else value}
        world = replace(world, **changed)
    else:
        preset = varied.preset(preset, value)
    return world.scenario(preset, None)[0]


def _compare(scenario: Scenario, loss: float, known: Traces, seeds: int, jobs: int) -> Comparison:
    total = len(shortlist(scenario, known, loss)) * seeds
    with _progress("simulations", total) as done:
        return compare(scenario, known, range(seeds), jobs, lambda: done(1), loss)


def _chosen(known: Traces, rivals: list[str]) -> Traces:
    """Without the codecs that were not asked for."""
    left_out = set(RIVALS) - set(rivals)
    kept = tuple(s for s in known.settings if s.codec not in left_out)
    return Traces(kept, known.clean_right, known.about)


def _keep(found: Comparison, result: dict[str, Any], out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    except OSError as fault:
        raise LinkError(f"{out}: {fault.strerror}; choose another --out") from fault
    scenario = found.scenario
    title = (
        f"{scenario.preset.title}: {scenario.nodes} × {scenario.fps:g} frames/s, "
        f"{found.traces.photos} photos"
    )
    plots.save(found, title, out / "result.png")


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar where somebody looks, else nothing."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.completed} of {task.total}"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
