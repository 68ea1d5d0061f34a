"""``tactic bench …`` on the command line; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Measure speed.")

SIZES = ["224x224", "640x480", "1920x1080"]
RUNTIMES = ("auto", "native", "litert", "tflite", "onnxruntime")


@app.callback()
def group() -> None:
    """Measure speed."""


@app.command("device")
def device(
    bundle: Annotated[Path, typer.Option(help="A bundle's folder.")] = Path("bundles/photo1000"),
    small: Annotated[
        Path | None,
        typer.Option(
            help="Bundle of a smaller encoder; without one, the middle of the bundle's windows."
        ),
    ] = None,
    runtime: Annotated[str, typer.Option(help=f"{', '.join(RUNTIMES)}.")] = "auto",
    size: Annotated[
        list[str] | None, typer.Option(help="Size of pictures WIDTHxHEIGHT, several times.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 15,
    watts: Annotated[
        float, typer.Option(min=0, help="Power of one busy core, for the energy: an assumption.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
) -> None:
    """Time a picture's way to a packet, beside JPEG, WebP, AVIF and a head on the node."""
    from tactic.rooms import packages_of

    if runtime not in RUNTIMES:
        raise typer.BadParameter(f"choose from {', '.join(RUNTIMES)}", param_hint="--runtime")
    with packages_of("train"):
        from tactic.bench.run import run_bench
    run_bench(bundle, small, runtime, size or SIZES, rounds, watts, as_json=as_json)
