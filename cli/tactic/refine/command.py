"""``tactic refine …`` on the command line; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tactic.rooms import packages_of

app = typer.Typer(no_args_is_help=True, help="Refinement: asking for more of unsure frames.")


@app.callback()
def root() -> None:
    """Refinement: asking for more of unsure frames."""


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    data: Annotated[str, typer.Option(help="Pictures with classes, as for tactic eval --data.")],
    budget_bytes: Annotated[
        list[int], typer.Option(min=64, help="Mean bytes a frame; any number of times.")
    ],
    match: Annotated[str, typer.Option(help="Only pictures whose name begins so.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=4, help="Only so many pictures, drawn by a fixed seed.")
    ] = None,
    traces: Annotated[
        Path | None, typer.Option(help="File of measurements: read if it exists, else written.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
    out: Annotated[Path | None, typer.Option(help="File for the JSON object.")] = None,
) -> None:
    """Choose first packet and threshold on one half of the pictures, judge them on the other."""
    with packages_of("train"):
        from tactic.refine.run import Wanted, run_calibrate
    wanted = Wanted(bundle, data, match, limit)
    run_calibrate(wanted, sorted(set(budget_bytes)), traces, as_json, out)
