"""Random squares, cut out of a picture and its mask alike; large photos are made smaller first."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

#: shorter side above which a photo is shrunk: a camera's photo of many megapixels would take long
#: to decode at every step, and a crop of it would show a patch that says nothing
PHOTO_PX = 512
#: share of a small picture's side that a crop shows at least
LEAST_PART = 0.75


class Window(NamedTuple):
    """A square of a picture; mirrored or not."""

    top: int
    left: int
    size_px: int
    mirrored: bool


def shrunk(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make the shorter side of a photo ``PHOTO_PX`` at most; uint8 (h, w, 3)."""
    scale = PHOTO_PX / min(photo.shape[:2])
    if scale >= 1:
        return photo
    size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def random_window(
    shape: tuple[int, ...], side_px: int, rng: np.random.Generator, least_part: float = LEAST_PART
) -> Window:
    """Choose a square to be scaled to ``side_px``, flipped by chance.

    Of a large picture it has between ``side_px`` and the whole shorter side, of a small one
    between ``least_part`` and the whole of it: the codec meets several scales, mostly sharp.
    """
    shorter = min(shape[:2])
    smallest = max(1, min(side_px, int(shorter * least_part)))
    size = int(rng.integers(smallest, shorter, endpoint=True))
    top = int(rng.integers(0, shape[0] - size, endpoint=True))
    left = int(rng.integers(0, shape[1] - size, endpoint=True))
    return Window(top, left, size, bool(rng.random() < 0.5))


def crop(picture: NDArray[np.uint8], window: Window, side_px: int) -> NDArray[np.uint8]:
    """Cut a window out of a picture and scale it; uint8 (side, side, 3)."""
    cut = picture[_rows_and_columns(window)]
    if window.size_px != side_px:
        how = cv2.INTER_AREA if window.size_px > side_px else cv2.INTER_LINEAR
        cut = np.asarray(cv2.resize(cut, (side_px, side_px), interpolation=how), np.uint8)
    return np.ascontiguousarray(cut[:, ::-1] if window.mirrored else cut)


def crop_mask(mask: NDArray[np.int8], window: Window, side_px: int) -> NDArray[np.int8]:
    """Cut the same window out of a mask; each pixel takes the class at its centre."""
    cut = mask[_rows_and_columns(window)]
    centres = (2 * np.arange(side_px) + 1) * window.size_px // (2 * side_px)
    cut = cut[centres[:, None], centres]
    return np.ascontiguousarray(cut[:, ::-1] if window.mirrored else cut)


def _rows_and_columns(window: Window) -> tuple[slice, slice]:
    top, left, size, _ = window
    return slice(top, top + size), slice(left, left + size)
