"""``tactic bundle …`` on the command line; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Look at bundles, and sign them.")


@app.command("show")
def show(path: Annotated[Path, typer.Argument(help="A bundle's folder.")]) -> None:
    """Verify every file of a bundle and say what it is."""
    from tactic_codec.bundle import Bundle

    bundle = Bundle.open(path)
    codec = bundle.codec
    sizes = ", ".join(f"{g.width}x{g.height}" for g in codec.geometries)
    print(f"{bundle.manifest.name}  id {codec.id[:16]}  wire id {codec.wire_id:04x}")
    print(f"made {bundle.manifest.created}, architecture {codec.arch}, stride {codec.stride}")
    print(f"serial {bundle.manifest.serial}, manifest {bundle.digest[:16]}")
    print(f"{codec.channels} channels")
    print(f"rate levels 0 to {codec.levels - 1}, recommended {bundle.manifest.default_level}")
    print(f"frame sizes {sizes}")
    print(f"heads {', '.join(f'{h.name} ({h.task})' for h in bundle.manifest.heads)}")
    print(f"{len(bundle.manifest.files)} files, every SHA-256 as declared")


@app.command("sign")
def sign(
    path: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    key: Annotated[Path, typer.Option(help="Private key of tactic trust init.")],
    serial: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**53 - 1,
            help="Higher than that of any bundle of this name that was signed.",
        ),
    ] = None,
) -> None:
    """Sign a bundle, so that nodes and gateways that trust the key run it."""
    from tactic.trust.bundles import sign_bundle

    bundle = sign_bundle(path, key, serial)
    print(f"signed: {bundle.manifest.name}, serial {bundle.manifest.serial}")


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    trust: Annotated[Path, typer.Option(help="Trust file with the keys that count.")],
) -> None:
    """Check every file of a bundle, and that a trusted key signed it."""
    from tactic.trust.bundles import verify_bundle

    bundle = verify_bundle(path, trust)
    print(f"{bundle.manifest.name}, serial {bundle.manifest.serial}: signed by {bundle.signer}")
