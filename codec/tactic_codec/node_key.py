"""One key for one node and its gateway: packets sealed by AEAD, messages authenticated.

For links without TLS, or brokers that are not trusted. Every run of a node draws a salt, and
every packet carries it: the key that seals is that of the run, so a nonce of (boot, pkt) cannot
repeat under it, even where two cards were cloned or a boot counter was lost. Normative text:
``docs/wire-format.md``, "Sealed packets".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tactic_codec import packet as plain
from tactic_codec.errors import ConfigError, PacketError
from tactic_codec.packet import HEADER_BYTES, Packet

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

KEY_BYTES = 32
SALT_BYTES = 8
TAG_BYTES = 16
OVERHEAD_BYTES = SALT_BYTES + TAG_BYTES

_AUTHENTICATED_BYTES = HEADER_BYTES - 4
_NONCE = struct.Struct("<III")
_MOST_RUNS = 256


class Purpose(StrEnum):
    """What a derived key is for; a tag made for one is worth nothing for another."""

    PACKET = "tactic/packet/1"
    ACK = "tactic/ack/1"
    COMMAND = "tactic/cmd/1"
    RESPONSE = "tactic/res/1"
    CHUNK = "tactic/blob/1"
    BIRTH = "tactic/birth/1"
    HEALTH = "tactic/health/1"


class NodeKey:
    """The key of one node, at either end.

    Parameters
    ----------
    secret : bytes
        32 random bytes that node and gateway share, and nobody else has.
    site, node : str
        Bound into every derived key: what one node sealed does not open as another's.
    draw : callable (int) -> bytes
        Random bytes; of the operating system unless told otherwise.
    """

    def __init__(
        self, secret: bytes, site: str, node: str, draw: Callable[[int], bytes] = os.urandom
    ) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a node key has {KEY_BYTES} bytes, this one {len(secret)}")
        self._secret = secret
        self._place = f"{site}/{node}".encode()
        self._salt = draw(SALT_BYTES)
        self._runs: OrderedDict[bytes, ChaCha20Poly1305] = OrderedDict()
        self._tags = {each: self._derive(each, b"") for each in Purpose}

    def seal(self, packet: Packet) -> Packet:
        """Seal a packet of this run; `packet.pack` then writes what goes on the wire.

        Once for each (boot, pkt): another packet of that number would get the same nonce.
        """
        cipher = self._cipher(self._salt)
        sealed = cipher.encrypt(_nonce(packet), packet.payload, _head(packet))
        return replace(packet, payload=self._salt + sealed, sealed=True)

    def unseal(self, packet: Packet) -> Packet:
        """Open a packet; ``sealed`` stays True, ``payload`` is what was sealed.

        Raises
        ------
        PacketError
            ``sealed``: it is not sealed, or too short to be; ``forged``: it was not sealed with
            this key, or was changed afterwards.
        """
        from cryptography.exceptions import InvalidTag

        if not packet.sealed or len(packet.payload) < OVERHEAD_BYTES:
            raise PacketError("sealed", "this node's packets are sealed, and this one is not")
        salt, sealed = packet.payload[:SALT_BYTES], packet.payload[SALT_BYTES:]
        try:
            cipher = self._cipher(salt)
            payload = cipher.decrypt(_nonce(packet), sealed, _head(packet))
        except InvalidTag as fault:
            raise PacketError("forged", "it was not sealed with the key of this node") from fault
        return replace(packet, payload=payload)

    def unpack(self, data: bytes) -> Packet:
        """Read and open a packet, as `packet.unpack` and `unseal`."""
        return self.unseal(plain.unpack(data, sealed=True))

    def sign(self, purpose: Purpose, body: bytes) -> bytes:
        """Append a tag to a message: the first 16 bytes of an HMAC-SHA256."""
        return body + self._tag(purpose, body)

    def open(self, purpose: Purpose, message: bytes) -> bytes:
        """Take a message apart and check its tag.

        Raises
        ------
        PacketError
            ``forged``: it has no tag of this key for this purpose.
        """
        body, tag = message[:-TAG_BYTES], message[-TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(purpose, body)):
            raise PacketError("forged", "it was not made with the key of this node")
        return body

    def prove(self, purpose: Purpose, body: dict[str, Any]) -> dict[str, Any]:
        """Add ``proof`` to a JSON message that others shall be able to read."""
        return body | {"proof": self._tag(purpose, _canonical(body)).hex()}

    def check_proof(self, purpose: Purpose, body: dict[str, Any]) -> None:
        """Check the ``proof`` of a JSON message.

        Raises
        ------
        PacketError
            ``forged``: it has none of this key.
        """
        rest = {name: value for name, value in body.items() if name != "proof"}
        try:
            expected = self._tag(purpose, _canonical(rest)).hex()
        except RecursionError:
            expected = ""
        given = body.get("proof")
        good = isinstance(given, str) and given.isascii()
        if not expected or not good or not hmac.compare_digest(str(given), expected):
            raise PacketError("forged", "it was not made with the key of this node")

    def _tag(self, purpose: Purpose, body: bytes) -> bytes:
        return hmac.digest(self._tags[purpose], body, hashlib.sha256)[:TAG_BYTES]

    def _cipher(self, salt: bytes) -> ChaCha20Poly1305:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if salt not in self._runs:
            self._runs[salt] = ChaCha20Poly1305(self._derive(Purpose.PACKET, salt))
            if len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)
        return self._runs[salt]

    def _derive(self, purpose: Purpose, salt: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = purpose.encode() + b"\0" + self._place
        return HKDF(SHA256(), KEY_BYTES, salt, info).derive(self._secret)


def read_key(path: Path) -> bytes:
    """Read a key file: 64 hexadecimal digits, readable by its owner only.

    Raises
    ------
    ConfigError
        It cannot be read, has another form, or others may read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(256)
    except OSError as fault:
        raise ConfigError(
            f"{path}: {fault.strerror}; tactic trust node-key makes a key file"
        ) from fault
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: others may read this key; chmod 600 {path}")
    try:
        secret = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ConfigError(
            f"{path}: not a key of {2 * KEY_BYTES} hexadecimal digits; make one with "
            "tactic trust node-key"
        )
    return secret


def wire_bytes(raw: bytes) -> int:
    """Bytes that a packet had on the wire, of which only the opened form was kept."""
    return len(raw) + (OVERHEAD_BYTES if plain.is_sealed(raw) else 0)


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _head(packet: Packet) -> bytes:
    return plain.pack(replace(packet, payload=b"", sealed=True))[:_AUTHENTICATED_BYTES]


def _nonce(packet: Packet) -> bytes:
    return _NONCE.pack(packet.boot, packet.pkt, 0)
