"""``tactic trust …`` on the command line; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tactic_codec.trust import Trust

app = typer.Typer(no_args_is_help=True, help="Whose bundles may run.")

File = Annotated[Path, typer.Argument(help="A trust file.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder for the key and the trust file.")],
    name: Annotated[str, typer.Option(help="Name of the key.")] = "release",
    until: Annotated[
        str | None, typer.Option(help="Last moment of its use, such as 2030-01-01T00:00:00Z.")
    ] = None,
) -> None:
    """Make a signing key and a trust file that pins it."""
    from tactic.trust.roots import FILE, init

    made = init(folder, name, until)
    print(f"{folder / name}.key: the private key. Keep it off nodes and gateways, and back it up.")
    print(f"{folder / FILE}: copy it to every node and gateway ([bundle] and [bundles] trust).")
    _print(made)


@app.command()
def show(trust: File) -> None:
    """List the keys of a trust file."""
    from tactic_codec.trust import read

    _print(read(trust))


@app.command()
def rotate(
    trust: File,
    key: Annotated[list[Path], typer.Option(help="Private key that the present file trusts.")],
    new: Annotated[
        list[str] | None, typer.Option(help="Name of a key to make and trust from now on.")
    ] = None,
    add: Annotated[
        list[str] | None, typer.Option(help="NAME=HEX, public key of somebody else to trust.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="Name of a key to trust no longer.")
    ] = None,
) -> None:
    """Change the keys: write the successor of a trust file, signed by a key that it trusts."""
    from tactic.trust.roots import rotate

    made = rotate(trust, key, new or (), add or (), remove or ())
    print(f"{trust}: counter {made.counter}; on each node: tactic trust update TRUST {trust.name}")
    _print(made)


@app.command()
def update(
    trust: File,
    successor: Annotated[Path, typer.Argument(help="The trust file that shall replace it.")],
) -> None:
    """On a node or gateway: take a successor, if a key of the present file signed it."""
    from tactic_codec.errors import TrustError
    from tactic_codec.trust import update

    try:
        data = successor.read_bytes()
    except OSError as fault:
        raise TrustError(f"{successor}: {fault.strerror}; give the path of a trust file") from fault
    _print(update(trust, data, successor))
    print("restart the node or gateway that uses it")


@app.command("node-key")
def node_key(
    path: Annotated[Path, typer.Argument(help="File to write, such as cam1.key.")],
) -> None:
    """Draw the secret that seals the packets of one node; the gateway needs the same file."""
    import secrets

    from tactic.trust.keys import write_secret
    from tactic_codec.node_key import KEY_BYTES

    write_secret(path, f"{secrets.token_hex(KEY_BYTES)}\n".encode())
    print(f"{path}: [node] key_file on the node; on the gateway NODE.key in the folder of")
    print("[gateway] keys. Copy it on a safe way, readable by the service only.")


def _print(trust: Trust) -> None:
    print(f"counter {trust.counter}, {len(trust.keys)} keys:")
    for key in trust.keys:
        times = f"  {key.not_before or 'ever'} to {key.not_after or 'ever'}"
        limited = key.not_before or key.not_after
        print(f"{key.name}  {key.public}{times if limited else ''}")
