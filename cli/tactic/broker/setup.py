"""The folders that ``tactic broker`` writes: one for each machine that gets something."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tactic.broker import mosquitto
from tactic.broker.authority import Authority, write_public
from tactic_codec.errors import ConfigError

_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_NODE = re.compile(r"[a-z0-9-][a-z0-9_-]{0,31}")
_ROOT = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")


def init(
    folder: Path, site: str, hosts: Sequence[str], port: int, root: str, place: Path | None
) -> None:
    """Make an authority, the broker's folder, and those of gateway and applications.

    Parameters
    ----------
    folder : Path
        Where the folders are written; ``ca`` must not be in it yet.
    site, root : str
        As in the configurations of nodes and gateway.
    hosts : sequence of str
        Names and addresses by which the broker is reached.
    port : int
    place : Path or None
        Where the broker's folder will lie on its machine; None: where it is written.

    Raises
    ------
    ConfigError
        A name is not one, or something is in the way.
    """
    _check(site, _NAME, "--site: a to z, digits, _ and -, at most 32")
    _check(root, _ROOT, "--root: like tactic/v1")
    for host in hosts:
        _check(host, _HOST, "--host: a name or an address")
    authority = Authority.create(folder / "ca", f"tactic {site}")
    broker = folder / "broker"
    authority.issue_server(broker, "broker", hosts)
    text = mosquitto.config(place or broker.resolve(), port)
    write_public(broker / "mosquitto.conf", text.encode())
    write_public(broker / "acl", mosquitto.access(root, site).encode())
    authority.issue_client(folder / "gateway", "gateway", mosquitto.GATEWAY)
    authority.issue_client(folder / "applications", "app", mosquitto.APPLICATIONS)


def add_node(folder: Path, node: str) -> Path:
    """Make the certificate of a node; return the folder that goes to it.

    Raises
    ------
    ConfigError
        The name is not one, or it has a certificate already.
    """
    _check(node, _NODE, "NAME: a to z, digits, _ and -, at most 32, not beginning with _")
    authority = Authority.load(folder / "ca")
    to_node = folder / "nodes" / node
    authority.issue_client(to_node, node, node)
    return to_node


def _check(text: str, pattern: re.Pattern[str], rule: str) -> None:
    if not pattern.fullmatch(text):
        raise ConfigError(f"{text!r} is no {rule}")
