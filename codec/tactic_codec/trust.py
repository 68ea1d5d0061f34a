"""Whose signatures count: pinned public keys, and how one set of them replaces another.

A trust file is JSON. Its successor has a higher counter and is signed by a key of the file that
it replaces, so keys can be changed on nodes that nobody can reach, and never changed back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tactic_codec.durable import replace_file
from tactic_codec.errors import TrustError
from tactic_codec.signing import Moment, PublicKey, Purpose, Signature

MAX_TRUST_BYTES = 65536

_RENEW = "get the trust file from whoever signs your bundles"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrustedKey(_Strict):
    """One pinned key.

    It counts for what says that it was signed between ``not_before`` and ``not_after`` (either
    may be left open). The time is that of the signature, not of the node: a camera without a
    clock would otherwise stop on the day on which a key ends.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    public: PublicKey
    not_before: Moment | None = None
    not_after: Moment | None = None

    def covers(self, moment: str) -> bool:
        """Whether the key was good at a time."""
        return (self.not_before or "") <= moment <= (self.not_after or "9999")


class Trust(_Strict):
    """A trust file.

    Attributes
    ----------
    counter : int
        Rises with every successor.
    keys : tuple of TrustedKey
    signatures : tuple of Signature
        Over everything else in the file.
    """

    format: Literal[1]
    counter: int = Field(ge=1, lt=1 << 53)
    keys: Annotated[tuple[TrustedKey, ...], Field(min_length=1, max_length=16)]
    signatures: Annotated[tuple[Signature, ...], Field(max_length=16)] = ()

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for values in ({k.name for k in self.keys}, {k.public for k in self.keys}):
            if len(values) < len(self.keys):
                raise ValueError("a name or a public key occurs twice")
        return self

    @property
    def content(self) -> bytes:
        """What the signatures are over: canonical JSON without them."""
        body = self.model_dump(mode="json", exclude={"signatures"})
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    def verify(
        self, purpose: Purpose, content: bytes, signatures: Sequence[Signature]
    ) -> TrustedKey:
        """Find a trusted key that signed the content.

        Raises
        ------
        TrustError
            There is none; the message says what was there instead.
        """
        pinned = {key.public: key for key in self.keys}
        found = "it is signed by no key of the trust file" if signatures else "it is not signed"
        for signature in signatures:
            key = pinned.get(signature.key)
            if key is None:
                continue
            if not key.covers(signature.signed):
                found = f"key {key.name} was not valid at {signature.signed}"
            elif signature.fits(purpose, content):
                return key
            else:
                found = f"it was changed after key {key.name} signed it"
        raise TrustError(found)

    def succeed(self, successor: Trust) -> TrustedKey:
        """Check that another trust file may replace this one.

        Returns
        -------
        TrustedKey
            The key of this file that vouches for it.

        Raises
        ------
        TrustError
            Its counter is not higher, or no key of this file signed it.
        """
        if successor.counter <= self.counter:
            raise TrustError(f"its counter is {successor.counter}, here is {self.counter} already")
        return self.verify(Purpose.TRUST, successor.content, successor.signatures)


def parse(data: bytes, where: Path | str) -> Trust:
    """Read a trust file's bytes.

    Raises
    ------
    TrustError
        They are not a trust file; the line names ``where``.
    """
    if len(data) > MAX_TRUST_BYTES:
        raise TrustError(f"{where}: larger than {MAX_TRUST_BYTES} bytes; {_RENEW}")
    try:
        return Trust.model_validate_json(data)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = " ".join(first["msg"].split())
        raise TrustError(f"{where}: {place}: {problem}; {_RENEW}") from fault


def read(path: Path) -> Trust:
    """Read a trust file.

    Raises
    ------
    TrustError
        It cannot be read or is no trust file.
    """
    try:
        with path.open("rb") as file:
            return parse(file.read(MAX_TRUST_BYTES + 1), path)
    except OSError as fault:
        raise TrustError(f"{path}: {fault.strerror}; give the path of a trust file") from fault


def write(path: Path, trust: Trust) -> None:
    """Write a trust file, whole or not at all."""
    replace_file(path, trust.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")


def update(path: Path, data: bytes, where: Path | str) -> Trust:
    """Replace a trust file by its successor, if a key of the present one vouches for it.

    Parameters
    ----------
    path : Path
        The trust file in force.
    data : bytes
        The successor.
    where : Path or str
        Where it came from, for messages.

    Raises
    ------
    TrustError
        It is no successor, or the file cannot be written.
    """
    successor = parse(data, where)
    try:
        read(path).succeed(successor)
    except TrustError as fault:
        raise TrustError(f"{where}: {fault}") from fault
    try:
        write(path, successor)
    except OSError as fault:
        raise TrustError(f"{path}: {fault.strerror}; make its folder writable") from fault
    return successor
