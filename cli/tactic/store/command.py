"""``tactic store …``, ``tactic audit`` and ``tactic reprocess`` on the command line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tactic.rooms import packages_of

app = typer.Typer(no_args_is_help=True, help="The gateway's store.")

Config = Annotated[
    Path, typer.Option("--config", "-c", help="Configuration of the gateway (TOML).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object only.")]
Node = Annotated[str | None, typer.Option(help="Only this node.")]

GATEWAY = Path("gateway.toml")


@app.command()
def fsck(
    config: Config = GATEWAY,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make counts agree with the packets; delete none.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at every packet and every count, and say what to do about what is wrong."""
    from tactic.store.run import run_fsck

    run_fsck(config, repair, as_json)


@app.command()
def gc(config: Config = GATEWAY, as_json: Json = False) -> None:
    """Delete what is kept no longer, as configured, and make the file smaller."""
    from tactic.store.run import run_gc

    run_gc(config, as_json)


@app.command()
def forecast(config: Config = GATEWAY, as_json: Json = False) -> None:
    """Say how much comes in a day, by node and class, and how long the disk lasts."""
    from tactic.store.run import run_forecast

    run_forecast(config, as_json)


def audit(
    config: Config = GATEWAY,
    node: Node = None,
    outbox: Annotated[
        Path | None,
        typer.Option(help="The outbox of --node, which is switched off: exact, frame by frame."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove that no frame is missing: captured = stored + dropped + pending, for every node."""
    from tactic.store.run import run_audit

    if outbox is not None and node is None:
        raise typer.BadParameter("name the node with --node", param_hint="--outbox")
    run_audit(config, node, outbox, as_json)


def reprocess(
    config: Config = GATEWAY,
    since: Annotated[
        datetime | None, typer.Option(help="Only what was received from then on (UTC).")
    ] = None,
    node: Node = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many frames.")] = None,
    as_json: Json = False,
) -> None:
    """Run the bundles' present heads over stored frames; a gateway may be running."""
    from tactic.store.run import run_reprocess
    from tactic_gateway.process import require_networks

    with packages_of("gateway"):
        require_networks()
    run_reprocess(config, since, node, limit, as_json)
