"""The bytes of a file without its fixed header: a rule for each codec.

At some hundred bytes a picture, containers are a large share of a file, and two ends that know
what they exchange need not send them. So every codec is also counted without:

====== ============================================================ =========================
codec  what is taken off                                            what stays
====== ============================================================ =========================
tactic the 20 bytes of the packet header                            the stream
JPEG   all markers and tables before the scan, and the end marker   the scan, and 4 bytes for
                                                                    width and height
WebP   20 bytes: RIFF and chunk header                              the VP8 frame
AVIF   all boxes but ``mdat``, and the header of that               the AV1 data
J2K    the main header, that of the tile, and the end marker        the tile, and 4 bytes for
                                                                    width and height
====== ============================================================ =========================

A JPEG's optimised Huffman tables depend on the picture; taking them off too is generous to it.
"""

from __future__ import annotations

from tactic_codec.packet import HEADER_BYTES

_SIZE_BYTES = 4
_SOI, _EOI, _SOS = b"\xff\xd8", b"\xff\xd9", 0xDA
_WEBP_HEADER_BYTES = 20
_LONG_BOX, _LAST_BOX = 1, 0
_SOC, _EOC, _SOD = b"\xff\x4f", b"\xff\xd9", b"\xff\x93"


def packet_payload_bytes(packet_bytes: int) -> int:
    """Bytes of a tactic packet without its header."""
    return packet_bytes - HEADER_BYTES


def jpeg_scan_bytes(file: bytes) -> int:
    """Entropy-coded bytes of a JPEG of one scan, and 4 for its size.

    Raises
    ------
    ValueError
        Not a whole JPEG file.
    """
    if not (file.startswith(_SOI) and file.endswith(_EOI)):
        raise ValueError("not a whole JPEG file")
    at, marker = 2, 0
    while marker != _SOS:
        if at + 4 > len(file) or file[at] != 0xFF:
            raise ValueError("JPEG without a scan")
        marker = file[at + 1]
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    return len(file) - len(_EOI) - at + _SIZE_BYTES


def webp_frame_bytes(file: bytes) -> int:
    """Bytes of the VP8 frame of a plain lossy WebP file.

    Raises
    ------
    ValueError
        Not such a file.
    """
    if not (file.startswith(b"RIFF") and file[8:16] == b"WEBPVP8 "):
        raise ValueError("not a plain lossy WebP file")
    return len(file) - _WEBP_HEADER_BYTES


def jpeg2000_tile_bytes(file: bytes) -> int:
    """Bytes of the only tile of a JPEG 2000 codestream (ITU-T T.800, annex A), and 4 for its size.

    Raises
    ------
    ValueError
        Not such a codestream.
    """
    if not (file.startswith(_SOC) and file.endswith(_EOC)):
        raise ValueError("not a whole JPEG 2000 codestream")
    at = len(_SOC)
    while (marker := file[at : at + 2]) != _SOD:
        if at + 4 > len(file) or marker[0] != 0xFF:
            raise ValueError("JPEG 2000 without a tile")
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    return len(file) - len(_EOC) - at - len(_SOD) + _SIZE_BYTES


def avif_data_bytes(file: bytes) -> int:
    """Bytes inside the ``mdat`` boxes of an AVIF file.

    Raises
    ------
    ValueError
        The boxes do not fill the file, or none of them is ``mdat``.
    """
    total, at = 0, 0
    while at < len(file):
        size, header = int.from_bytes(file[at : at + 4], "big"), 8
        if size == _LONG_BOX:
            size, header = int.from_bytes(file[at + 8 : at + 16], "big"), 16
        elif size == _LAST_BOX:
            size = len(file) - at
        if size < header or at + size > len(file):
            raise ValueError("AVIF whose boxes do not fill the file")
        total += (size - header) * (file[at + 4 : at + 8] == b"mdat")
        at += size
    if not total:
        raise ValueError("AVIF without data")
    return total
