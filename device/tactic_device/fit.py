"""Any picture to the geometry of a bundle, with the same pixels on every CPU.

OpenCV's area and linear resizing differ between x86 and ARM. Whole-number reduction in NumPy and
INTER_LINEAR_EXACT do not.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def fit(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Crop the centre to the aspect of (height, width) and resize to it.

    Parameters
    ----------
    pixels : uint8 array (H, W, 3)
    height, width : int
        Size wanted, pixels.

    Returns
    -------
    uint8 array (height, width, 3), C-contiguous
    """
    pixels = _crop_to_aspect(pixels, height, width)
    factor = min(pixels.shape[0] // height, pixels.shape[1] // width)
    if factor > 1:
        pixels = box_reduce(pixels, factor)
    if pixels.shape[:2] != (height, width):
        resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
        pixels = np.asarray(resized, dtype=np.uint8)
    return np.ascontiguousarray(pixels)


def box_reduce(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Average blocks of ``factor`` × ``factor`` pixels, rounding halves up.

    Rows and columns that fill no block are cut off evenly at both edges.
    """
    height, width = pixels.shape[0] // factor * factor, pixels.shape[1] // factor * factor
    pixels = _centre(pixels, height, width)
    total = np.full((height // factor, width // factor, 3), factor * factor // 2, np.uint32)
    for row in range(factor):
        for column in range(factor):
            total += pixels[row::factor, column::factor]
    return (total // (factor * factor)).astype(np.uint8)


def _crop_to_aspect(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    have_height, have_width = pixels.shape[:2]
    if have_height * width > have_width * height:
        return _centre(pixels, max(1, have_width * height // width), have_width)
    return _centre(pixels, have_height, max(1, have_height * width // height))


def _centre(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
