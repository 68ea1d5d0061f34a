"""Making a trust file, and its successors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tactic.trust import keys
from tactic_codec import trust as trust_file
from tactic_codec.errors import ConfigError, TrustError
from tactic_codec.signing import Purpose, public_key, sign
from tactic_codec.trust import Trust, TrustedKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = "trust.json"


def init(folder: Path, name: str, not_after: str | None = None) -> Trust:
    """Make a key and a trust file that pins it.

    Raises
    ------
    ConfigError
        There is a trust file or a key of that name already, or the name is not one.
    """
    path = folder / FILE
    if path.exists():
        raise ConfigError(f"{path}: is there already; tactic trust rotate changes its keys")
    folder.mkdir(parents=True, exist_ok=True)
    _check_name(name, not_after)
    private = keys.create(folder / f"{name}{keys.SUFFIX}")
    pinned = TrustedKey(name=name, public=public_key(private), not_after=not_after)
    made = _signed(Trust(format=1, counter=1, keys=(pinned,)), [private])
    trust_file.write(path, made)
    return made


def rotate(
    path: Path,
    signers: Sequence[Path],
    new: Sequence[str],
    add: Sequence[str],
    remove: Sequence[str],
) -> Trust:
    """Replace a trust file by its successor.

    Parameters
    ----------
    path : Path
        The trust file.
    signers : sequence of Path
        Private keys of the present trust file.
    new : sequence of str
        Names of keys to draw; their files are written beside the trust file.
    add : sequence of str
        ``NAME=HEX``, public keys of others.
    remove : sequence of str
        Names of keys to trust no longer.

    Raises
    ------
    ConfigError
        A name or key that is not one.
    TrustError
        The signers are not in the present file.
    """
    present = trust_file.read(path)
    privates = [keys.load(signer) for signer in signers]
    if unknown := set(remove) - {key.name for key in present.keys}:
        raise ConfigError(f"--remove {min(unknown)}: no such key in {path}; see tactic trust show")
    for name in new:
        _check_name(name)
    pinned = [key for key in present.keys if key.name not in remove]
    pinned += [_given(text) for text in add]
    drawn = {name: keys.create(path.with_name(f"{name}{keys.SUFFIX}")) for name in new}
    pinned += [TrustedKey(name=n, public=public_key(private)) for n, private in drawn.items()]
    try:
        body = Trust(format=1, counter=present.counter + 1, keys=tuple(pinned))
    except ValidationError as fault:
        problem = fault.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {problem}; choose other keys") from fault
    successor = _signed(body, privates)
    try:
        present.succeed(successor)
    except TrustError as fault:
        raise TrustError(f"{path}: {fault}; give --key with one that it trusts") from fault
    trust_file.write(path, successor)
    return successor


def _signed(body: Trust, privates: Sequence[Ed25519PrivateKey]) -> Trust:
    moment = keys.now()
    made = tuple(sign(private, Purpose.TRUST, body.content, moment) for private in privates)
    return body.model_copy(update={"signatures": made})


def _check_name(name: str, not_after: str | None = None) -> None:
    try:
        TrustedKey(name=name, public="0" * 64, not_after=not_after)
    except ValidationError as fault:
        first = fault.errors()[0]
        raise ConfigError(
            f"{first['loc'][0]} {first['input']}: {first['msg']}; a name is letters, digits, "
            "dots and dashes, a time is like 2030-01-01T00:00:00Z"
        ) from fault


def _given(text: str) -> TrustedKey:
    name, _, public = text.partition("=")
    try:
        return TrustedKey(name=name, public=public)
    except ValidationError as fault:
        raise ConfigError(f"--add {text}: write NAME=HEX, 64 digits of a public key") from fault
