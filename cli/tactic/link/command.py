"""``tactic link …`` on the command line; what it needs is imported when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tactic.rooms import packages_of

app = typer.Typer(no_args_is_help=True, help="Thin links: presets, passes, simulation.")

RIVALS = "jpeg,webp,avif"

Preset = Annotated[str, typer.Argument(help="Name of a preset (tactic link presets) or a file.")]
Days = Annotated[float, typer.Option(min=0.001, max=3660.0, help="How long.")]
Elements = Annotated[
    Path | None, typer.Option(help="Orbital elements (TLE or OMM) instead of the preset's.")
]
Satellite = Annotated[str | None, typer.Option(help="Which satellite of that file.")]
Station = Annotated[
    list[str] | None, typer.Option(help="NAME:LATITUDE:LONGITUDE[:ALTITUDE], any number of times.")
]
Mask = Annotated[float | None, typer.Option(min=0.0, max=90.0, help="Lowest elevation, degrees.")]
Start = Annotated[str | None, typer.Option(help="Begin at this date, UTC, such as 2026-05-20.")]
Bundle = Annotated[Path | None, typer.Option(help="A bundle's folder, to measure traces with.")]
Photos = Annotated[str | None, typer.Option(help="Pictures, as for tactic eval --data.")]
TracesFile = Annotated[
    Path | None, typer.Option(help="File of traces: read if it exists, else written.")
]
Match = Annotated[str, typer.Option(help="Only pictures whose name begins so.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only so many pictures, drawn by a fixed seed.")
]
Against = Annotated[str, typer.Option(help="Codecs to compare with, separated by commas.")]
Nodes = Annotated[int, typer.Option(min=1, max=1000, help="Camera nodes.")]
Fps = Annotated[float, typer.Option(min=1e-6, max=100.0, help="Frames a second of each node.")]
Outbox = Annotated[float, typer.Option(min=0.01, help="Room of each node's outbox, MB.")]
FairUse = Annotated[bool, typer.Option(help="Keep to optional budgets, such as TTN's, too.")]
Within = Annotated[
    float,
    typer.Option(min=0.0, max=100.0, help="Points of accuracy that a setting may lose to compete."),
]
NodeConfig = Annotated[
    Path | None,
    typer.Option("--node", help="A node's configuration: all nodes keep to its [rate]."),
]
Alarms = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of frames that are alarms.")]
Seeds = Annotated[int, typer.Option(min=1, max=1000, help="Simulations of each setting.")]
Jobs = Annotated[int, typer.Option(min=1, max=256, help="Processes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object only.")]
Folder = Annotated[Path | None, typer.Option(help="Folder for result.json and the figures.")]


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Show every figure of this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the presets, or every figure of one with its source."""
    with packages_of("link"):
        from tactic.link.show import run_presets
    run_presets(name, as_json)


@app.command()
def passes(
    preset: Preset = "leo-uhf",
    days: Days = 1.0,
    elements: Elements = None,
    satellite: Satellite = None,
    station: Station = None,
    mask: Mask = None,
    start: Start = None,
    as_json: AsJson = False,
) -> None:
    """Compute the passes of a satellite over ground stations."""
    with packages_of("link"):
        from tactic.link.options import Orbit
        from tactic.link.show import run_passes
    run_passes(preset, days, Orbit(elements, satellite, tuple(station or ()), mask, start), as_json)


@app.command()
def measure(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    photos: Annotated[str, typer.Option(help="Pictures, as for tactic eval --data.")],
    out: Annotated[Path, typer.Option(help="File of traces to write (.npz).")],
    match: Match = "",
    limit: Limit = None,
    against: Against = RIVALS,
) -> None:
    """Measure what every photo costs and is worth, for any number of simulations."""
    with packages_of("link"):
        from tactic.link.options import Source
        from tactic.link.run import traces_of
    traces_of(Source(None, bundle, photos, match, limit, against), out)
    print(f"traces: {out}")


@app.command()
def simulate(
    preset: Preset,
    bundle: Bundle = None,
    photos: Photos = None,
    traces: TracesFile = None,
    match: Match = "",
    limit: Limit = None,
    against: Against = RIVALS,
    days: Days = 1.0,
    nodes: Nodes = 1,
    fps: Fps = 1.0,
    outbox: Outbox = 64.0,
    fair_use: FairUse = False,
    within: Within = 10.0,
    node: NodeConfig = None,
    alarms: Alarms = 0.0,
    elements: Elements = None,
    satellite: Satellite = None,
    station: Station = None,
    mask: Mask = None,
    start: Start = None,
    seeds: Seeds = 1,
    jobs: Jobs = 1,
    out: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Count correct decisions, cost and delay over a link, for every codec."""
    with packages_of("link"):
        from tactic.link.options import Orbit, Source, World
        from tactic.link.run import run_simulate
    run_simulate(
        preset,
        Source(traces, bundle, photos, match, limit, against),
        World(days, nodes, fps, outbox, fair_use, within, node, alarms),
        Orbit(elements, satellite, tuple(station or ()), mask, start),
        seeds=seeds,
        jobs=jobs,
        out=out,
        as_json=as_json,
    )


@app.command()
def sweep(
    preset: Preset,
    vary: Annotated[
        str,
        typer.Option(
            help="KEY=VALUE,VALUE,…: days, nodes, fps, outbox, mask, or a figure of the preset "
            "such as up.rate, in its unit."
        ),
    ],
    bundle: Bundle = None,
    photos: Photos = None,
    traces: TracesFile = None,
    match: Match = "",
    limit: Limit = None,
    against: Against = RIVALS,
    days: Days = 1.0,
    nodes: Nodes = 1,
    fps: Fps = 1.0,
    outbox: Outbox = 64.0,
    fair_use: FairUse = False,
    within: Within = 10.0,
    node: NodeConfig = None,
    alarms: Alarms = 0.0,
    seeds: Seeds = 1,
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Simulate for several values of one figure."""
    with packages_of("link"):
        from tactic.link.options import Source, World
        from tactic.link.run import run_sweep
    run_sweep(
        preset,
        vary,
        Source(traces, bundle, photos, match, limit, against),
        World(days, nodes, fps, outbox, fair_use, within, node, alarms),
        seeds=seeds,
        jobs=jobs,
        as_json=as_json,
    )


@app.command()
def proxy(
    preset: Preset,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT that the node connects to.")
    ] = "127.0.0.1:18830",
    broker: Annotated[
        str, typer.Option(help="HOST:PORT of the broker behind the link.")
    ] = "127.0.0.1:1883",
    speed: Annotated[
        float, typer.Option(min=0.01, max=1000.0, help="Seconds of the link in one second.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of losses and jitter.")] = 0,
    days: Days = 1.0,
    fair_use: FairUse = False,
    as_json: AsJson = False,
) -> None:
    """Put a link between a real node and a real broker, until it is stopped."""
    with packages_of("link"):
        from tactic.link.emulate import Emulation, run_proxy
    run_proxy(Emulation(preset, listen, broker, speed, seed, days, fair_use), as_json)


@app.command()
def bridge(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="Configuration file (TOML).")
    ] = Path("bridge.toml"),
) -> None:
    """Pass datagrams of nodes without IP on to MQTT, and answers back, until stopped (SIGTERM)."""
    with packages_of("link"):
        from tactic_link.bridge_daemon import main
    sys.exit(main(config))
