"""``tactic broker …`` on the command line; what it needs is imported when it runs."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="A broker that knows who is who.")

_MQTT = """\
[mqtt]
host = "{host}"
port = {port}
[mqtt.tls]
ca_file = "ca.pem"
cert_file = "{name}.pem"
key_file = "{name}.key"
"""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    site: Annotated[str, typer.Option(help="Site, as in the configurations.")],
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address by which the broker is reached; may be repeated."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the broker.")] = 8883,
    root: Annotated[str, typer.Option(help="First part of every topic.")] = "tactic/v1",
    place: Annotated[
        Path | None,
        typer.Option(help="Where FOLDER/broker will lie on the broker's machine, if elsewhere."),
    ] = None,
) -> None:
    """Write a mosquitto configuration with certificates and access rules."""
    from tactic.broker.setup import init

    hosts = host or [socket.gethostname(), "localhost", "127.0.0.1"]
    init(folder, site, hosts, port, root, place)
    print(f"{folder}/ca: the authority. Keep it off every other machine, and back it up.")
    print(f"{folder}/broker: to the broker's machine; mosquitto -c mosquitto.conf")
    print(f"{folder}/gateway: to the gateway's machine, beside gateway.toml, in which:\n")
    print(_MQTT.format(host=hosts[0], port=port, name="gateway"))
    print(f"{folder}/applications: to whatever reads results (read only)")
    print(f"next, for every node: tactic broker add-node {folder} NAME")


@app.command("add-node")
def add_node(
    folder: Annotated[Path, typer.Argument(help="Folder of tactic broker init.")],
    name: Annotated[str, typer.Argument(help="Name of the node, as in its configuration.")],
) -> None:
    """Make the certificate of a node; broker and gateway need not be told."""
    from tactic.broker.setup import add_node

    to_node = add_node(folder, name)
    print(f"{to_node}: to the node, beside device.toml, in which:\n")
    print(_MQTT.format(host="HOST", port="PORT", name=name))
