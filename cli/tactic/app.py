"""Sub-commands. Each imports its room when it runs, so that a node needs only its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tactic import __version__
from tactic.bench.command import app as bench_app
from tactic.broker.command import app as broker_app
from tactic.bundle_command import app as bundle_app
from tactic.gate.command import app as gate_app
from tactic.link.command import app as link_app
from tactic.refine.command import app as refine_app
from tactic.reproduce.command import app as reproduce_app
from tactic.rooms import packages_of
from tactic.service_command import doctor, install, uninstall
from tactic.store.command import app as store_app
from tactic.store.command import audit, reprocess
from tactic.trust.command import app as trust_app

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Task-aware image compression for cameras behind a thin link.",
)
device_app = typer.Typer(no_args_is_help=True, help="The camera node.")
device_app.command()(install)
device_app.command()(uninstall)
gateway_app = typer.Typer(no_args_is_help=True, help="The gateway.")
app.add_typer(device_app, name="device")
app.add_typer(gateway_app, name="gateway")
app.command()(doctor)
app.add_typer(store_app, name="store")
app.command()(audit)
app.command()(reprocess)
app.add_typer(bundle_app, name="bundle")
app.add_typer(bench_app, name="bench")
app.add_typer(trust_app, name="trust")
app.add_typer(broker_app, name="broker")
app.add_typer(reproduce_app, name="reproduce")
app.add_typer(link_app, name="link")
app.add_typer(refine_app, name="refine")
app.add_typer(gate_app, name="gate")

RIVALS = ("jpeg", "webp", "avif", "jpeg2000")
FIGURES = (".png", ".svg")

Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration file (TOML).")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tactic {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Task-aware image compression for cameras behind a thin link."""


@device_app.command("run")
def device_run(config: Config = Path("device.toml")) -> None:
    """Capture, encode and publish until stopped (SIGTERM) or the source ends."""
    with packages_of("device"):
        from tactic_device.agent import main
    sys.exit(main(config))


@gateway_app.command("run")
def gateway_run(config: Config = Path("gateway.toml")) -> None:
    """Receive, store, acknowledge, decode and answer until stopped (SIGTERM)."""
    with packages_of("gateway"):
        from tactic_gateway.process import require_networks
        from tactic_gateway.service import main

        require_networks()
    sys.exit(main(config))


@app.command("node")
def node_command(
    name: Annotated[str, typer.Argument(help="Name of the node.")],
    kind: Annotated[
        str, typer.Argument(help="ping, report, bundle, set_level, set_budget, install.")
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(help="set_level: LEVEL. set_budget: BYTES or none. install: BUNDLE."),
    ] = None,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="Configuration of the gateway (TOML).")
    ] = Path("gateway.toml"),
    patience_s: Annotated[
        float, typer.Option("--wait", min=1, max=3600, help="Seconds to wait for the answer.")
    ] = 30,
) -> None:
    """Have a node do something, and print its answer as JSON."""
    with packages_of("gateway"):
        from tactic.node_command import run_command
    run_command(config, name, kind, values or [], patience_s)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and metrics.")],
    config: Annotated[
        Path | None,
        typer.Argument(help="Training configuration (TOML); without one, a built-in recipe."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Photos: a folder or zip, with a folder for each class or without; or "
            "imagefolder:PATH or unlabelled:PATH. Instead of the file's sources."
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="efficientnet_lite0 (the default), torchvision:NAME, or MODULE:FUNCTION for one "
            "of your own. Instead of the file's head."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="A bundle, or the folder of a training run, whose codec goes on to learn instead "
            "of one from the beginning."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the file's seed.")] = None,
) -> None:
    """Train a codec for photos of your own, or go on where the output folder stands."""
    with packages_of("train"):
        from tactic_train.run import train_from_file
    path = train_from_file(
        config, out, sources=tuple(data or ()), head=head, start=start, seed=seed
    )
    print(f"trained: {path}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write.")],
    geometry: Annotated[
        list[str] | None,
        typer.Option(help="Frame size WIDTHxHEIGHT, up to eight times; the first is the default."),
    ] = None,
    level: Annotated[int, typer.Option(min=0, help="Rate level that nodes shall use.")] = 0,
    report: Annotated[
        str | None, typer.Option(help="imagefolder:PATH of pictures for the parity report.")
    ] = None,
    match: Annotated[str, typer.Option(help="Only pictures whose name begins so.")] = "",
    license_file: Annotated[
        Path | None, typer.Option("--license", help="Licence of the weights, put into the bundle.")
    ] = None,
) -> None:
    """Quantise a trained codec once and write its bundle with a parity report."""
    from tactic.export_command import run_export

    with packages_of("train"):
        pictures = (report, match) if report else None
        run_export(run, out, geometry or [], level, pictures, license_file)


@app.command("eval")
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    data: Annotated[
        str,
        typer.Option(help="Pictures: a folder or zip, or imagefolder:PATH or unlabelled:PATH."),
    ],
    match: Annotated[str, typer.Option(help="Only pictures whose name begins so.")] = "",
    against: Annotated[
        str,
        typer.Option(
            help="Codecs to compare with, separated by commas: jpeg, webp, avif, jpeg2000."
        ),
    ] = "jpeg,webp,avif",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many pictures, drawn by a fixed seed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
    out: Annotated[Path | None, typer.Option(help="File for the JSON object.")] = None,
) -> None:
    """Measure bytes and accuracy of a bundle beside JPEG, WebP and AVIF."""
    names = [name for name in against.split(",") if name]
    if unknown := set(names) - set(RIVALS):
        raise typer.BadParameter(
            f"{min(unknown)}: choose from {', '.join(RIVALS)}", param_hint="--against"
        )
    with packages_of("train"):
        from tactic.evaluate.run import run_eval
    run_eval(bundle, data, match=match, against=names, limit=limit, as_json=as_json, out=out)


@app.command()
def plot(
    results: Annotated[list[Path], typer.Argument(help="Files that tactic eval wrote.")],
    out: Annotated[Path, typer.Option(help="Figure to write, .png or .svg.")],
) -> None:
    """Draw accuracy against bytes from results of tactic eval."""
    if out.suffix not in FIGURES:
        raise typer.BadParameter(f"{out}: name it {' or '.join(FIGURES)}", param_hint="--out")
    with packages_of("train"):
        from tactic.evaluate.plot import run_plot
    run_plot(results, out)
    print(f"figure: {out}")


@app.command()
def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
    train_first: Annotated[
        bool, typer.Option("--train", help="Train and export a small bundle first.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for logs, pictures and the sheet.")] = Path(
        "out/demo"
    ),
) -> None:
    """Send real photos through device, broker and gateway, and compare with JPEG and WebP."""
    with packages_of("demo"):
        from tactic.demo.run import run_demo
    run_demo(out, as_json=as_json, train_first=train_first)
