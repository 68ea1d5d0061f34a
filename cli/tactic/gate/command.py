"""``tactic gate …`` on the command line; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tactic.rooms import packages_of

app = typer.Typer(no_args_is_help=True, help="Change gating: sending what changed.")

FIGURES = (".png", ".svg")


@app.callback()
def root() -> None:
    """Change gating: sending what changed."""


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    clip: Annotated[
        list[Path], typer.Option(help="A video of a camera that stands still; any number of them.")
    ],
    limit: Annotated[
        float, typer.Option(min=0, max=0.99, help="Score below which an answer counts as none.")
    ] = 0.3,
    delay_s: Annotated[
        float, typer.Option(min=0, max=60, help="How late the node hears of an answer.")
    ] = 0.3,
    level: Annotated[int | None, typer.Option(help="Rate level; default: the bundle's.")] = None,
    geometry: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT; default: the bundle's first.")
    ] = None,
    traces: Annotated[
        Path | None, typer.Option(help="Folder of measurements: read where they are, else written.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Figure to write, .png or .svg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
) -> None:
    """Choose gating.threshold on some clips, judge it on the others, say what to set."""
    if figure and figure.suffix not in FIGURES:
        raise typer.BadParameter(f"{figure}: name it {' or '.join(FIGURES)}", param_hint="--figure")
    with packages_of("train"):
        from tactic.gate.run import Wanted, run_calibrate
    wanted = Wanted(bundle, tuple(clip), level, geometry, limit, delay_s)
    run_calibrate(wanted, traces, figure, as_json)
