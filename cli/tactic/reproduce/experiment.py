"""An experiment: the cells it asks for, and what is made of their results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tactic.evaluate import about
from tactic.reproduce import beyond, layouts, notes, one_level, our_layouts, plans, tables
from tactic.reproduce.cell import Cell, Json, Result
from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.plans import Cells


@dataclass(frozen=True, slots=True)
class Experiment:
    """One of the commands.

    Attributes
    ----------
    title : str
    plan : callable
        The cells.
    rows : callable
        The rows of its table, from the results by the cells' names.
    show : callable
        The rows as Markdown.
    notes : callable
        What the rows say against the method.
    """

    title: str
    plan: Callable[[Cells], list[Cell]]
    rows: Callable[[Cells, Mapping[str, Result]], list[Json]]
    show: Callable[[Sequence[Json]], str]
    notes: Callable[[Sequence[Json]], list[str]]
    drawn: bool = False
    """Whether there is a figure of the rows, too."""


EXPERIMENTS = {
    "table1": Experiment(
        "Accuracy and rate of the paper's model beside JPEG",
        plans.table1,
        tables.table1_rows,
        layouts.table1,
        notes.of_table1,
    ),
    "table2": Experiment(
        "Training with the task against training without",
        plans.table2,
        tables.table2_rows,
        layouts.table2,
        notes.of_table2,
    ),
    "table3": Experiment(
        "Segmentation: training with the task against training without",
        plans.table3,
        tables.table3_rows,
        layouts.table3,
        notes.of_table3,
    ),
    "fig2": Experiment(
        "Accuracy over bits per pixel",
        plans.fig2,
        beyond.fig2_rows,
        layouts.table1,
        notes.of_table1,
        drawn=True,
    ),
    "beyond": Experiment(
        "Our codec against JPEG, WebP and AVIF, every one with a head tuned to it",
        plans.beyond,
        beyond.beyond_rows,
        our_layouts.beyond,
        notes.of_beyond,
        drawn=True,
    ),
    "parts": Experiment(
        "What each part of our training is worth",
        plans.parts,
        one_level.parts_rows,
        our_layouts.parts,
        notes.of_parts,
    ),
    "levels": Experiment(
        "One model for all rate levels against one for each",
        plans.levels,
        one_level.levels_rows,
        our_layouts.levels,
        notes.of_levels,
    ),
}


class Report(BaseModel):
    """The file of an experiment; all rows can be computed again from ``cells``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    preset: Json
    start: str | None = None
    """What our codec began with, as it was named."""
    rows: tuple[Json, ...]
    notes: tuple[str, ...]
    cells: tuple[Result, ...]
    commit: str | None
    date: str

    @property
    def name(self) -> str:
        """Of its files: ``beyond-cpu``, ``beyond-cpu-started``."""
        return f"{self.experiment}-{self.preset['name']}" + ("-started" if self.start else "")

    def as_json(self) -> str:
        """What the file holds, on one line."""
        parts = self.model_dump(mode="json", exclude={"cells"})
        parts["cells"] = [json.loads(cell.as_json()) for cell in self.cells]
        return json.dumps(parts, separators=(",", ":"))

    @property
    def pictures(self) -> int:
        """Photos judged by."""
        figures = [cell.figures for cell in self.cells]
        return max(len(each.right or each.hits or ()) for each in figures)


def make_report(name: str, cells: Cells, results: Mapping[str, Result]) -> Report:
    """Put an experiment together from the results of all its cells."""
    experiment = EXPERIMENTS[name]
    rows = experiment.rows(cells, results)
    return Report(
        experiment=name,
        preset=cells.preset.model_dump(mode="json"),
        start=str(cells.start) if cells.start else None,
        rows=tuple(rows),
        notes=tuple(experiment.notes(rows)),
        cells=tuple(results.values()),
        commit=about.commit(),
        date=about.date(),
    )


def read_report(path: Path) -> Report:
    """Read the file of an experiment.

    Raises
    ------
    ReproduceError
        It is missing, or no such file.
    """
    try:
        found = Report.model_validate_json(path.read_bytes())
    except OSError as fault:
        raise ReproduceError(f"{path}: {fault.strerror}; run its experiment first") from fault
    except ValidationError as fault:
        raise ReproduceError(f"{path}: not a result of tactic reproduce; leave it out") from fault
    if found.experiment not in EXPERIMENTS:
        raise ReproduceError(f"{path}: no experiment {found.experiment!r} here; leave it out")
    return found


def as_markdown(report: Report) -> str:
    """Title, table, notes, and where it was measured."""
    experiment = EXPERIMENTS[report.experiment]
    lines = [f"# {experiment.title}", "", experiment.show(report.rows)]
    lines += [f"- {note}" for note in report.notes]
    return "\n".join([*lines, "", provenance(report)]) + "\n"


def provenance(report: Report) -> str:
    """One line: preset, photos, devices, commits."""
    devices = sorted({cell.device for cell in report.cells})
    commits = sorted({cell.commit or "unknown" for cell in report.cells})
    hours = sum(cell.wall_s for cell in report.cells) / 3600
    begun = f" Our codec began with `{report.start}`, whose training is not in the hours."
    return (
        f"Preset `{report.preset['name']}`, {report.pictures:,} photos, {', '.join(devices)}, "
        f"commit {', '.join(commits)}, {hours:.1f} hours.{begun if report.start else ''}"
    )
