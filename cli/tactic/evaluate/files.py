"""Whole files of other people's codecs, as Pillow writes them: JPEG, WebP, AVIF, JPEG 2000."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: slower ones gain a percent or two
AVIF_SPEED = 6
#: as people write them
NAMES = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF", "jpeg2000": "JPEG 2000"}


def jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Encode as baseline JPEG with optimised Huffman tables, 4:2:0."""
    return _save(pixels, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")


def jpeg_standard(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """The same pixels as `jpeg`, with the Huffman tables of the standard."""
    return _save(pixels, "JPEG", quality=quality, optimize=False, subsampling="4:2:0")


def webp(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Encode as WebP, method 6."""
    return _save(pixels, "WEBP", quality=quality, method=6)


def avif(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Encode as AVIF, 4:2:0, at ``AVIF_SPEED``."""
    return _save(
        pixels, "AVIF", quality=quality, speed=AVIF_SPEED, subsampling="4:2:0", max_threads=1
    )


def jpeg2000(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Encode as a bare JPEG 2000 codestream, 9/7 wavelet; ``quality`` is the PSNR to reach, dB."""
    return _save(
        pixels,
        "JPEG2000",
        quality_mode="dB",
        quality_layers=[quality],
        irreversible=True,
        mct=1,
        no_jp2=True,
    )


def decode(file: bytes) -> NDArray[np.uint8]:
    """Read a file back; uint8 (H, W, 3) RGB."""
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def _save(pixels: NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()
