"""``tactic reproduce …`` on the command line; what it needs is imported when it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tactic.rooms import packages_of

app = typer.Typer(no_args_is_help=True, help="The paper's experiments, and ours beside them.")

PRESETS = ("cpu", "gpu", "paper", "aerial")
OUT = Path("out/reproduce")

Preset = Annotated[
    str, typer.Option(help="Sizes of everything: cpu, gpu or paper; aerial: as cpu, RSSCN7.")
]
Out = Annotated[Path, typer.Option(help="Folder of results; what is done there is not run again.")]
OneCell = Annotated[str | None, typer.Option("--cell", help="Run only this cell.")]
Listing = Annotated[bool, typer.Option("--list", help="Show the cells and run none.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object only.")]
Start = Annotated[
    Path | None, typer.Option(help="Bundle or training run that our codec begins with.")
]


QUESTIONS = {
    "table1": "Accuracy and rate of the paper's model beside JPEG.",
    "table2": "Training with the task against training without, several seeds.",
    "parts": "Leave out each part of our codec's training in turn.",
    "table3": "Segmentation: training with the task against training without, by three losses.",
}
QUESTIONS_OF_OURS = {
    "fig2": "Draw accuracy over bits per pixel: table1 and our codec.",
    "beyond": "Compare our codec with JPEG, WebP and AVIF, each with a head tuned to it.",
    "levels": "Compare our codec for all rate levels with one trained for each level alone.",
}


def _command(name: str) -> Callable[..., None]:
    def run(
        preset: Preset = "cpu",
        out: Out = OUT,
        cell: OneCell = None,
        listing: Listing = False,
        as_json: AsJson = False,
    ) -> None:
        _run(name, preset, out, None, cell, listing, as_json)

    return run


def _command_of_ours(name: str) -> Callable[..., None]:
    def run(
        preset: Preset = "cpu",
        out: Out = OUT,
        start: Start = None,
        cell: OneCell = None,
        listing: Listing = False,
        as_json: AsJson = False,
    ) -> None:
        _run(name, preset, out, start, cell, listing, as_json)

    return run


for _name, _question in QUESTIONS.items():
    app.command(_name, help=_question)(_command(_name))
for _name, _question in QUESTIONS_OF_OURS.items():
    app.command(_name, help=_question)(_command_of_ours(_name))


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="Folders with table1.json and so on.")],
    out: Annotated[Path, typer.Option(help="Page to write; figures go into img beside it.")],
) -> None:
    """Write one page of everything that was measured, from its files."""
    with packages_of("train"):
        from tactic.reproduce.page import write_page
    write_page(results, out)
    print(f"report: {out}")


def _run(
    name: str,
    preset: str,
    out: Path,
    start: Path | None,
    cell: str | None,
    listing: bool,
    as_json: bool,
) -> None:
    if preset not in PRESETS:
        raise typer.BadParameter(
            f"{preset}: choose from {', '.join(PRESETS)}", param_hint="--preset"
        )
    with packages_of("train"):
        from tactic.reproduce.presets import PRESETS as SIZES
        from tactic.reproduce.run import run_experiment
    run_experiment(
        name, SIZES[preset], out, start=start, cell=cell, listing=listing, as_json=as_json
    )
