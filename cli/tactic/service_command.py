"""``tactic device install`` and ``uninstall``, and ``tactic doctor``, on the command line."""

from __future__ import annotations

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
