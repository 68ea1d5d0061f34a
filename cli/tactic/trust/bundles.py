"""Signing bundles, and checking what was signed."""

from __future__ import annotations

from pathlib import Path

from tactic.trust import keys
from tactic_codec import trust as trust_file
from tactic_codec.bundle import (
    MANIFEST,
    SIGNATURE,
    Bundle,
    Signatures,
    write_manifest,
    write_signatures,
)
from tactic_codec.bundle_files import parse, read_small
from tactic_codec.errors import BundleError
from tactic_codec.signing import Purpose, Signature, sign


def sign_bundle(root: Path, key: Path, serial: int | None) -> Bundle:
    """Sign a bundle's manifest; what others signed and still fits is kept.

    Parameters
    ----------
    root : Path
    key : Path
        Private key file.
    serial : int or None
        Written into the manifest first; None keeps the one it has.

    Raises
    ------
    BundleError
        The bundle is not whole.
    ConfigError
        The key cannot be used.
    """
    private = keys.load(key)
    bundle = Bundle.open(root)
    if serial is not None and serial != bundle.manifest.serial:
        write_manifest(root, bundle.manifest.model_copy(update={"serial": serial}))
    content = read_small(root / MANIFEST, "give the directory of a bundle")
    made = sign(private, Purpose.BUNDLE, content, keys.now())
    others = [each for each in _present(root, content) if each.key != made.key]
    write_signatures(root, Signatures(signatures=(*others, made)))
    return Bundle.open(root)


def verify_bundle(root: Path, trust: Path) -> Bundle:
    """Open a bundle that a key of a trust file signed.

    Raises
    ------
    BundleError, TrustError
        It is not whole, or not theirs.
    """
    return Bundle.open(root, trust_file.read(trust))


def _present(root: Path, content: bytes) -> list[Signature]:
    path = root / SIGNATURE
    if not path.exists():
        return []
    try:
        given = parse(Signatures, path, read_small(path, "remove it"))
    except BundleError:
        return []  # what cannot be read vouches for nothing: it is written anew
    return [each for each in given.signatures if each.fits(Purpose.BUNDLE, content)]
