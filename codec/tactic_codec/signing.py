"""Ed25519 signatures (RFC 8032) over exact bytes, each made for one purpose and no other.

What is signed is ``purpose NUL signed NUL content``: a signature of a bundle can never pass for
one of a trust file, and the time at which it was made cannot be changed afterwards.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[
    str, Field(pattern=r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9](:[0-5][0-9]){2}Z$")
]
"""UTC to the second, such as ``2026-11-22T20:15:00Z``; sorts as text."""


class Purpose(StrEnum):
    """What a signature vouches for."""

    BUNDLE = "tactic/bundle/1"
    TRUST = "tactic/trust/1"


class Signature(BaseModel):
    """One signature.

    Attributes
    ----------
    key : str
        The public key, 32 bytes in hexadecimal.
    signed : str
        When it was made, by the clock of whoever made it.
    value : str
        64 bytes in hexadecimal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: PublicKey
    signed: Moment
    value: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

    def fits(self, purpose: Purpose, content: bytes) -> bool:
        """Whether the owner of `key` signed this content, for this purpose, at that time."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key))
            key.verify(bytes.fromhex(self.value), _message(purpose, self.signed, content))
        except (InvalidSignature, ValueError):
            return False
        return True


def sign(private: Ed25519PrivateKey, purpose: Purpose, content: bytes, signed: str) -> Signature:
    """Sign content.

    Parameters
    ----------
    private : Ed25519PrivateKey
    purpose : Purpose
    content : bytes
    signed : str
        The present time, as in `Signature.signed`.
    """
    value = private.sign(_message(purpose, signed, content)).hex()
    return Signature(key=public_key(private), signed=signed, value=value)


def public_key(private: Ed25519PrivateKey) -> str:
    """Hexadecimal form of the public half of a key."""
    return private.public_key().public_bytes_raw().hex()


def _message(purpose: Purpose, signed: str, content: bytes) -> bytes:
    return b"\0".join((purpose.encode(), signed.encode(), content))
