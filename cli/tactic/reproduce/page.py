"""``tactic reproduce report``: one page of everything that was measured, from the files alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tactic.evaluate.errors import OutputError
from tactic.reproduce import markdown
from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.experiment import EXPERIMENTS, Report, provenance, read_report

M = TypeVar("M", bound=BaseModel)

_HEAD = """# Results

Made by `tactic reproduce report` from the files beside it; how everything is measured and counted:
[reproduce.md](reproduce.md). Figures of the paper are of other classes and another head: compare
within a column, not across.
"""
_NEGATIVE = """## What did not work, or is not shown

Written by fixed rules with every table, and by hand where a file of notes says so.
"""


class Ablation(BaseModel):
    """``ablation-*.json``: what parts of the codec are worth."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]
    text: str = ""
    """What was varied, on what, and where."""
    notes: tuple[str, ...] = ()


class Notes(BaseModel):
    """``notes-*.json``: what was tried and failed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    notes: tuple[str, ...]


def write_page(folders: Sequence[Path], out: Path) -> None:
    """Write the page, and its figures into the folder ``img`` beside it.

    Parameters
    ----------
    folders : sequence of Path
        Folders with ``table1*.json`` and so on, ``ablation-*.json`` and ``notes-*.json``.
    out : Path
        Markdown.

    Raises
    ------
    ReproduceError
        There is no result, or a file is none.
    OutputError
    """
    reports = [
        read_report(path) for name in EXPERIMENTS for path in _files(folders, f"{name}*.json")
    ]
    ablations = [_read(path, Ablation) for path in _files(folders, "ablation-*.json")]
    notes = [_read(path, Notes) for path in _files(folders, "notes-*.json")]
    if not reports and not ablations:
        raise ReproduceError(
            f"{', '.join(map(str, folders))}: no result such as table1.json; "
            "name the --out of tactic reproduce"
        )
    sections = [_HEAD, *(_section(report, out.parent / "img") for report in reports)]
    sections += [_ablation(each) for each in ablations]
    told = [
        *(
            f"`{each.experiment}`, `{each.preset['name']}`: {note}"
            for each in reports
            for note in each.notes
        ),
        *(note for each in ablations for note in each.notes),
        *(note for each in notes for note in each.notes),
    ]
    if told:
        sections.append(_NEGATIVE + "\n" + "".join(f"- {note}\n" for note in dict.fromkeys(told)))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(sections), encoding="utf-8")
    except OSError as fault:
        raise OutputError(f"{out}: {fault.strerror}; choose another --out") from fault


def _files(folders: Sequence[Path], pattern: str) -> Iterable[Path]:
    return (path for folder in folders for path in sorted(folder.glob(pattern)))


def _read(path: Path, model: type[M]) -> M:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ReproduceError(f"{path}: {where}: {first['msg']}; correct it") from fault


def _section(report: Report, images: Path) -> str:
    experiment = EXPERIMENTS[report.experiment]
    preset = report.preset["name"]
    parts = [f"## {experiment.title} (`{report.experiment}`, preset `{preset}`)\n"]
    parts.append(experiment.show(report.rows))
    if experiment.drawn:
        from tactic.reproduce.figure import write_figure

        write_figure(report.rows, report.pictures, images / report.name)
        parts.append(f"![{experiment.title}]({images.name}/{report.name}.svg)\n")
    return "\n".join([*parts, provenance(report) + "\n"])


def _ablation(ablation: Ablation) -> str:
    rows = [[str(cell) for cell in row] for row in ablation.rows]
    parts = [f"## {ablation.title}\n", markdown.table(ablation.columns, rows)]
    return "\n".join([*parts, ablation.text + "\n"] if ablation.text else parts)
