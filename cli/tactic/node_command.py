"""What ``tactic node`` makes of its arguments, and of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from tactic_delivery import kinds
from tactic_delivery.errors import CommandError
from tactic_gateway import config as configuration
from tactic_gateway.delivering import deliver
from tactic_gateway.errors import NodeError
from tactic_gateway.remote import Remote


def run_command(config: Path, node: str, kind: str, values: list[str], patience_s: float) -> None:
    """Send a command and print the result, one JSON object.

    Raises
    ------
    CommandError
        There is no such command, or its arguments do not fit.
    NodeError
        The node is not there, does not answer, or refuses.
    """
    if kind == "install" and len(values) == 1:
        with Remote(configuration.load(config), node) as remote:
            console = Console(stderr=True, highlight=False, soft_wrap=True)
            print(json.dumps(deliver(remote, Path(values[0]), patience_s, console.print)))
        return
    arguments = _arguments(kind, values)
    kinds.check(kind, arguments)
    with Remote(configuration.load(config), node) as remote:
        response = remote.call(kind, arguments, patience_s)
    if response.status != "done":
        detail = response.result.get("detail", response.reason)
        raise NodeError(f"{node}: {kind} {response.status}: {detail}")
    print(json.dumps(response.result))


def _arguments(kind: str, values: list[str]) -> dict[str, Any]:
    if kind in {"install", "activate"}:
        raise CommandError("arguments", "install takes the folder of a signed bundle")
    fields = list(kinds.KINDS[kind].model_fields) if kind in kinds.KINDS else []
    if len(values) != len(fields) and kind in kinds.KINDS:
        wanted = " ".join(name.upper() for name in fields) or "nothing more"
        raise CommandError("arguments", f"{kind} takes {wanted}")
    try:
        numbers = [None if value == "none" else int(value) for value in values]
    except ValueError as fault:
        raise CommandError("arguments", f"{values[0]} is no number") from fault
    return dict(zip(fields, numbers, strict=False))
