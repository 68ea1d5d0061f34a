"""JPEG, WebP, AVIF and JPEG 2000 at several qualities and sizes.

At very few bytes each of them does better on a smaller picture that is enlarged again afterwards.
Pictures are made smaller by the mean over areas and enlarged bilinearly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tactic.evaluate import files, headers
from tactic.evaluate.errors import RivalMissingError
from tactic.evaluate.setting import Coded, Pictures, Setting

SCALES = (1.0, 0.75, 0.5)


@dataclass(frozen=True, slots=True)
class Rival:
    """How a codec is run and counted."""

    encode: Callable[[NDArray[np.uint8], int], bytes]
    strip: Callable[[bytes], int]
    qualities: tuple[int, ...]


RIVALS = {
    "jpeg": Rival(files.jpeg, headers.jpeg_scan_bytes, (2, 5, 10, 15, 25, 50, 75)),
    "webp": Rival(files.webp, headers.webp_frame_bytes, (0, 5, 10, 20, 35, 50, 75)),
    "avif": Rival(files.avif, headers.avif_data_bytes, (5, 12, 20, 27, 35, 45, 60)),
    "jpeg2000": Rival(files.jpeg2000, headers.jpeg2000_tile_bytes, (20, 22, 24, 26, 28, 31, 35)),
}


def settings(names: Sequence[str]) -> list[Setting]:
    """Every setting of the codecs named.

    Raises
    ------
    RivalMissingError
        The installed Pillow cannot write one of them.
    """
    check(names)
    return [
        Setting(
            name,
            {"quality": quality, "scale": scale},
            functools.partial(_code, RIVALS[name], quality, scale),
        )
        for name in names
        for scale in SCALES
        for quality in RIVALS[name].qualities
    ]


def check(names: Sequence[str]) -> None:
    """Find out whether the codecs named are there.

    Raises
    ------
    RivalMissingError
        The installed Pillow cannot write one of them.
    """
    Image.init()
    for name in names:
        if name.upper() not in Image.SAVE:
            raise RivalMissingError(
                f"the installed Pillow writes no {name.upper()}: pip install 'pillow>=11.3', "
                f"or compare without {name}"
            )


def _code(rival: Rival, quality: int, scale: float, pictures: Pictures) -> list[Coded]:
    return [code_one(rival, quality, scale, pixels) for pixels in pictures]


def code_one(rival: Rival, quality: int, scale: float, pixels: NDArray[np.uint8]) -> Coded:
    """One picture through a file and back.

    Parameters
    ----------
    rival : Rival
    quality : int
    scale : float
        Size in the file, relative to the picture's sides.
    pixels : uint8 array (H, W, 3)
    """
    height, width = pixels.shape[:2]
    file = rival.encode(smaller(pixels, scale), quality)
    # The other linear mode differs between processors.
    seen = _resize(files.decode(file), height, width, cv2.INTER_LINEAR_EXACT)
    return Coded(seen, len(file), rival.strip(file))


def smaller(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """A picture at ``scale`` times its sides, by the mean over areas."""
    height, width = (max(1, round(scale * side)) for side in pixels.shape[:2])
    return _resize(pixels, height, width, cv2.INTER_AREA)


def _resize(
    pixels: NDArray[np.uint8], height: int, width: int, interpolation: int
) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)
