"""A piece of a bundle's file on its way to a node.

Layout, little-endian: version u8 (1), first 16 bytes of the SHA-256 of the manifest, file u16
(index among the files that a node needs), offset u32, data. Normative text:
``docs/wire-format.md``, "Chunks".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tactic_delivery.errors import CommandError

VERSION = 1
MAX_CHUNK_BYTES = 16384
BUNDLE_BYTES = 16

_HEAD = struct.Struct(f"<B{BUNDLE_BYTES}sHI")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece.

    Attributes
    ----------
    bundle : bytes
        First 16 bytes of the SHA-256 of the manifest.
    file : int
        uint16.
    offset : int
        uint32.
    data : bytes
        At most 16 KiB.
    """

    bundle: bytes
    file: int
    offset: int
    data: bytes


def pack(piece: Chunk) -> bytes:
    """Write a piece."""
    return _HEAD.pack(VERSION, piece.bundle, piece.file, piece.offset) + piece.data


def unpack(message: bytes) -> Chunk:
    """Read a piece.

    Raises
    ------
    CommandError
        With ``reason`` ``form``.
    """
    if not _HEAD.size <= len(message) <= _HEAD.size + MAX_CHUNK_BYTES:
        raise CommandError("form", f"a chunk of {len(message)} bytes")
    version, bundle, file, offset = _HEAD.unpack_from(message)
    if version != VERSION:
        raise CommandError("form", f"a chunk of version {version}")
    return Chunk(bundle, file, offset, message[_HEAD.size :])
