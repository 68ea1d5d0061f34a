"""JPEG and WebP at the fewest bytes on which the same head still gives the clean answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate.files import decode

Answers = Callable[[NDArray[np.uint8]], NDArray[np.int64]]

QUALITIES = range(1, 96)
_AT_ONCE = 4


def smallest(
    encode: Callable[[NDArray[np.uint8], int], bytes],
    pixels: NDArray[np.uint8],
    answer: int,
    answers: Answers,
) -> int | None:
    """Bytes of the smallest file, over qualities 1 … 95, that keeps the answer.

    Files grow with quality, so qualities are tried upwards and the first that keeps it is it.

    Parameters
    ----------
    encode : callable (pixels, quality) -> bytes
    pixels : uint8 array (H, W, 3)
    answer : int
        The head's answer on ``pixels``.
    answers : callable uint8 (N, H, W, 3) -> int64 (N,)
        The head.

    Returns
    -------
    int or None
        None where no quality keeps the answer.
    """
    for start in range(0, len(QUALITIES), _AT_ONCE):
        files = [encode(pixels, quality) for quality in QUALITIES[start : start + _AT_ONCE]]
        found = answers(np.stack([decode(file) for file in files]))
        kept = [len(file) for file, each in zip(files, found, strict=True) if each == answer]
        if kept:
            return min(kept)
    return None
