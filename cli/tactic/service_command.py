"""``tactic device install`` and ``uninstall``, and ``tactic doctor``, on the command line."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from tactic.rooms import packages_of

SOURCES = ("folder", "video", "opencv", "picamera2")

Root = Annotated[Path, typer.Option(help="Root of the system: / or the tree of a card's image.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]


def install(
    site: Annotated[str, typer.Option(help="Site, as in the gateway's configuration.")] = "yard",
    node: Annotated[
        str | None, typer.Option(help="Name of the node; default: the machine's name.")
    ] = None,
    host: Annotated[str, typer.Option(help="Machine of the broker.")] = "127.0.0.1",
    source: Annotated[
        str, typer.Option(help="Camera: folder, video, opencv or picamera2.")
    ] = "picamera2",
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle to copy to /var/lib/tactic/bundle.")
    ] = None,
    root: Root = Path("/"),
    dry_run: DryRun = False,
) -> None:
    """Make this machine a camera node: user, folders, configuration, systemd unit."""
    with packages_of("device"):
        from tactic_device.service.install import install
        from tactic_device.service.layout import Choices
        from tactic_device.service.system import tactic_command
    if source not in SOURCES:
        raise typer.BadParameter(f"{source}: choose from {', '.join(SOURCES)}")
    name = node or re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower())[:32] or "cam1"
    for value, pattern in ((site, r"[a-z0-9_-]{1,32}"), (name, r"[a-z0-9-][a-z0-9_-]{0,31}")):
        if not re.fullmatch(pattern, value):
            raise typer.BadParameter(f"{value}: a name has a-z, 0-9, _ and -, at most 32 of them")
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", host):
        raise typer.BadParameter(f"{host}: a host is a name or an address")
    tactic = tactic_command(Path(sys.executable))
    choices = Choices(site, name, host, source)
    install(root, tactic, choices, bundle, dry=dry_run, say=print)


def uninstall(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also what was changed or added since: keys, frames.")
    ] = False,
    root: Root = Path("/"),
    dry_run: DryRun = False,
) -> None:
    """Remove what tactic device install wrote, as far as nobody has changed it."""
    with packages_of("device"):
        from tactic_device.service.install import uninstall
    uninstall(root, purge=purge, dry=dry_run, say=print)


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Configuration of the node; default: device.toml, else /etc/tactic/device.toml.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object only.")] = False,
    root: Root = Path("/"),
) -> None:
    """Say what is wrong with a camera node, and the command that mends it."""
    with packages_of("device"):
        from tactic_device.doctor.run import STATES, examine
        from tactic_device.errors import DoctorError
        from tactic_device.service import layout
    usual = Path("device.toml")
    path = config or (usual if usual.exists() else root / layout.CONFIG)
    findings = []
    for name, found in examine(path, root):
        findings.append({"id": name, "state": found.state, "text": found.text})
        if found.remedy:
            findings[-1]["remedy"] = found.remedy
        if not as_json:
            print(f"{found.state:8} {name:20} {' '.join(found.text.split())}", flush=True)
            if found.remedy:
                print(f"{'':8} {'':20} $ {found.remedy}", flush=True)
    counts = {state: sum(f["state"] == state for f in findings) for state in STATES}
    if as_json:
        print(json.dumps({"checks": findings, "counts": counts}, indent=2))
    else:
        print(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["fault"]:
        raise DoctorError(f"{counts['fault']} faults; run the command below each")
