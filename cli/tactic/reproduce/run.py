"""``tactic reproduce``: run an experiment's cells, and write its table."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from rich.console import Console

from tactic.evaluate.errors import OutputError
from tactic.evaluate.rivals import check
from tactic.reproduce.cell import Cell
from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.estimate import Row, estimate
from tactic.reproduce.experiment import EXPERIMENTS, Report, as_markdown, make_report
from tactic.reproduce.lab import Lab, with_bases
from tactic.reproduce.plans import Cells
from tactic.reproduce.preset import Preset
from tactic.reproduce.rivals import File


def run_experiment(
    name: str,
    preset: Preset,
    out: Path,
    *,
    start: Path | None,
    cell: str | None,
    listing: bool,
    as_json: bool,
) -> None:
    """Run what is not done yet, and write the table; or list the cells, or run one of them.

    Parameters
    ----------
    name : str
        Of ``EXPERIMENTS``.
    preset : Preset
    out : Path
        Folder of results, shared by all experiments.
    start : Path or None
        A run that our codec begins with.
    cell : str or None
        Run only this one, and what it builds on.
    listing : bool
        Run nothing.
    as_json : bool
        One JSON object on standard output; progress goes to standard error.

    Raises
    ------
    TacticError
        One line that names the cause and the remedy.
    """
    cells = Cells(preset, start)
    plan = EXPERIMENTS[name].plan(cells)
    sizes = preset.on_roads() if name == "table3" else preset
    lab = Lab(writable(out), _say)
    if listing:
        _list(estimate(lab, with_bases(plan), sizes), as_json)
        return
    plan = [_find(with_bases(plan), cell)] if cell else plan
    if any(lab.result(each) is None for each in plan):
        lab.check(sizes.photos, sizes.head)
        check(sorted({each.codec for each in with_bases(plan) if isinstance(each, File)}))
    # The training loop reports on standard output.
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        if cell:
            result = lab.make(plan[0])
        else:
            report = _run_all(name, cells, plan, lab)
    if as_json:
        print(result.as_json() if cell else report.as_json())
    elif not cell:
        print(as_markdown(report))


def _run_all(name: str, cells: Cells, plan: Sequence[Cell], lab: Lab) -> Report:
    results = {}
    for number, each in enumerate(plan, start=1):
        if lab.result(each) is None:
            lab.say(f"{name}: {number} of {len(plan)}, {each.name}")
        results[each.name] = lab.make(each)
    bases = {each.name: found for each in with_bases(plan) if (found := lab.result(each))}
    report = make_report(name, cells, bases | results)
    path = lab.out / report.name
    lab.keep(path.with_suffix(".json"), report.as_json() + "\n")
    lab.keep(path.with_suffix(".md"), as_markdown(report))
    lab.say(f"{name}: {path}.json and .md")
    if EXPERIMENTS[name].drawn:
        _draw(report, lab)
    return report


def _draw(report: Report, lab: Lab) -> None:
    try:
        from tactic.reproduce.figure import write_figure
    except ImportError as fault:
        lab.say(f"no figure: {fault.name} is not installed; start again where it is")
        return
    path = lab.out / report.name
    write_figure(report.rows, report.pictures, path)
    lab.say(f"{report.experiment}: {path}.png and .svg")


def _find(cells: Sequence[Cell], name: str) -> Cell:
    found = [cell for cell in cells if name in {cell.name, cell.key}]
    if not found:
        raise ReproduceError(f"no cell {name!r} in this experiment; --list shows their names")
    return found[0]


def _list(rows: Sequence[Row], as_json: bool) -> None:
    if as_json:
        print(json.dumps([row.as_json() for row in rows]))
        return
    for row in rows:
        state = "done" if row.done else "open"
        print(f"{state}  {row.minutes:7.1f} min  {row.name}")
    left = sum(row.minutes for row in rows if not row.done)
    print(f"{sum(row.done for row in rows)} of {len(rows)} done, {left:.0f} min left (estimate)")


def _say(line: str) -> None:
    Console().print(line, highlight=False, markup=False, soft_wrap=True)


def writable(out: Path) -> Path:
    """Find out before the work whether its results can be kept.

    Processes that share a folder, one cell each, may ask at the same time.

    Raises
    ------
    OutputError
        If no file can be made in ``out``.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=out).close()
    except OSError as fault:
        raise OutputError(f"{out}: {fault.strerror}; choose another --out") from fault
    return out
