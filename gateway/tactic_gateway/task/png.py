"""PNG files of masks, as ISO/IEC 15948 (the PNG specification) has them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BITS, _PALETTE = 8, 3
_UP = 2


def palette_png(mask: NDArray[np.uint8], colours: int) -> bytes:
    """Write a mask as a PNG with a palette: its values stay indices, and a viewer shows colours.

    Parameters
    ----------
    mask : uint8 array (H, W)
        Values below ``colours``.
    colours : int
        At most 256.
    """
    height, width = mask.shape
    header = struct.pack(">IIBBBBB", width, height, _EIGHT_BITS, _PALETTE, 0, 0, 0)
    # The difference to the row above, modulo 256: nothing, almost everywhere.
    rows = np.diff(mask, axis=0, prepend=np.zeros((1, width), np.uint8))
    filtered = np.hstack([np.full((height, 1), _UP, np.uint8), rows])
    return b"".join(
        [
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", palette(colours).tobytes()),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes(), level=9)),
            _chunk(b"IEND", b""),
        ]
    )


def palette(colours: int) -> NDArray[np.uint8]:
    """Colours that differ, as in the masks of Pascal VOC; uint8 (colours, 3).

    The bits of an index are dealt to red, green and blue in turn, from the highest down.
    """
    index = np.arange(colours)[:, None]
    found = np.zeros((colours, 3), np.uint8)
    for turn in range(3):
        bits = (index >> (3 * turn + np.arange(3))) & 1
        found |= (bits << (7 - turn)).astype(np.uint8)
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
