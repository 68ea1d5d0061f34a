"""Private keys as files that nobody else may read."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tactic_codec.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SUFFIX = ".key"


def create(path: Path) -> Ed25519PrivateKey:
    """Draw an Ed25519 key and write it as PEM (PKCS 8), readable by its owner only.

    Raises
    ------
    ConfigError
        The file is there already, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(path, pem)
    return private


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read.

    Raises
    ------
    ConfigError
        The file is there already, or cannot be written.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(number)
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}; choose another place or name") from fault


def load(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises
    ------
    ConfigError
        It cannot be read, is no Ed25519 key, or may be read by others.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(1 << 16)
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}; give a key of tactic trust init") from fault
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: others may use this private key; chmod 600 {path}")
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as fault:
        raise ConfigError(
            f"{path}: no private key in PEM; give one of tactic trust init"
        ) from fault
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path}: not an Ed25519 key; give one of tactic trust init")
    return private


def now() -> str:
    """Present time as signatures have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
