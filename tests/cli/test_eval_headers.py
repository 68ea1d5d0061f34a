"""Real files without their headers: what stays is exactly what carries the picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tactic.evaluate import files, headers
from tactic_codec.packet import HEADER_BYTES, Kind, Packet, pack


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return coarse.repeat(16, axis=0).repeat(16, axis=1)


@pytest.mark.parametrize("quality", [2, 50, 95])
def test_jpeg(picture: NDArray[np.uint8], quality: int) -> None:
    file = files.jpeg(picture, quality)
    # One scan: the marker begins the only segment that entropy-coded bytes follow.
    start = file.rindex(b"\xff\xda")
    scan = file[start + 2 + int.from_bytes(file[start + 2 : start + 4], "big") : -2]
    assert headers.jpeg_scan_bytes(file) == len(scan) + 4
    assert scan.replace(b"\xff\x00", b"").count(b"\xff") == 0


def test_tables_are_most_of_a_flat_jpeg(picture: NDArray[np.uint8]) -> None:
    flat = np.full_like(picture, 128)
    file = files.jpeg(flat, 50)
    scan_bytes = headers.jpeg_scan_bytes(file)
    # 48 units of 6 blocks, each a DC and an AC code of one bit; and 4 bytes for the size.
    assert scan_bytes == 48 * 6 * 2 // 8 + 4
    # SOI, APP0, two DQT of 69, SOF, four DHT of at least 22 bytes each, SOS, EOI.
    assert 270 < len(file) - scan_bytes < 300


def test_webp(picture: NDArray[np.uint8]) -> None:
    file = files.webp(picture, 20)
    frame_bytes = int.from_bytes(file[16:20], "little")
    assert headers.webp_frame_bytes(file) - frame_bytes in {0, 1}
    # A key frame of VP8 has its start code three bytes in.
    assert file[23:26] == b"\x9d\x01\x2a"


def test_avif(picture: NDArray[np.uint8]) -> None:
    file = files.avif(picture, 30)
    at = file.index(b"mdat")
    assert headers.avif_data_bytes(file) == int.from_bytes(file[at - 4 : at], "big") - 8
    assert 200 < len(file) - headers.avif_data_bytes(file) < 400


@pytest.mark.parametrize("quality", [20, 30])
def test_jpeg2000(picture: NDArray[np.uint8], quality: int) -> None:
    file = files.jpeg2000(picture, quality)
    tile = file.index(b"\xff\x90")
    part_bytes = int.from_bytes(file[tile + 6 : tile + 10], "big")
    assert tile + part_bytes + 2 == len(file)
    # The header of the tile-part is SOT, of 12 bytes, and SOD, of 2.
    assert headers.jpeg2000_tile_bytes(file) == part_bytes - 14 + 4
    seen = files.decode(file)
    assert 10 * np.log10(255**2 / ((seen - picture.astype(float)) ** 2).mean()) > quality - 1


def test_avif_with_long_and_open_boxes() -> None:
    long = b"\x00\x00\x00\x01mdat" + (16 + 5).to_bytes(8, "big") + b"12345"
    last = b"\x00\x00\x00\x00mdat" + b"123"
    assert headers.avif_data_bytes(long + last) == 8


def test_tactic() -> None:
    packet = pack(Packet(Kind.FRAME, boot=1, pkt=0, payload=b"stream"))
    assert headers.packet_payload_bytes(len(packet)) == len(packet) - HEADER_BYTES == 6


@pytest.mark.parametrize(
    "count",
    [
        headers.jpeg_scan_bytes,
        headers.webp_frame_bytes,
        headers.avif_data_bytes,
        headers.jpeg2000_tile_bytes,
    ],
)
@pytest.mark.parametrize(
    "file", [b"", b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\xd9", b"RIFF", b"\x00\x00\x00\x09free"]
)
def test_other_bytes_are_refused(count: object, file: bytes) -> None:
    assert callable(count)
    with pytest.raises(ValueError, match=r"JPEG|WebP|AVIF"):
        count(file)


def test_files_decode_to_their_size(picture: NDArray[np.uint8]) -> None:
    for encode in (files.jpeg, files.webp, files.avif):
        seen = files.decode(encode(picture, 80))
        assert seen.shape == picture.shape
        assert np.abs(seen.astype(int) - picture).mean() < 20
