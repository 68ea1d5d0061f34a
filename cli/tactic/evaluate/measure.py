"""Every picture through every setting: one row of figures for each."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate.pictures import Album, by_shape
from tactic.evaluate.setting import Pictures, Setting

PICTURES_AT_ONCE = 8

Answers = Callable[[NDArray[np.uint8]], NDArray[np.int64]]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Figures of P settings on N pictures.

    Attributes
    ----------
    right : bool array (P, N)
        The head's first class is the right one; where there are no labels, that of the
        uncompressed picture.
    agrees : bool array (P, N)
        It is that of the uncompressed picture.
    bytes, bytes_stripped : float64 array (P, N)
    squared_error : float64 array (P, N)
        Mean over a picture's values, 0 … 255².
    clean_right : bool array (N,)
        As ``right``, of the uncompressed pictures.
    pixels : float64 array (N,)
    """

    right: Bools
    agrees: Bools
    bytes: Floats
    bytes_stripped: Floats
    squared_error: Floats
    clean_right: Bools
    pixels: Floats


def measure(
    album: Album, settings: Sequence[Setting], answers: Answers, done: Callable[[int], None]
) -> Rows:
    """Run everything.

    Parameters
    ----------
    album : Album
    settings : sequence of Setting
    answers : callable uint8 (N, H, W, 3) -> int64 (N,)
        The head.
    done : callable
        Told after each setting how many pictures went through it.
    """
    parts = []
    # The networks run on one thread each: settings side by side use several cores better.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for pictures, labels in album.chunks(PICTURES_AT_ONCE):
            clean = np.array(by_shape(pictures, answers))
            truth = labels if album.labelled else clean
            columns = []
            for column in pool.map(functools.partial(_column, pictures, answers), settings):
                columns.append(column)
                done(len(pictures))
            found, *figures = (np.stack(rows) for rows in zip(*columns, strict=True))
            pixels = np.array([each.shape[0] * each.shape[1] for each in pictures], np.float64)
            parts.append((found == truth, found == clean, *figures, clean == truth, pixels))
    return Rows(*(np.concatenate(blocks, axis=-1) for blocks in zip(*parts, strict=True)))


def _column(
    pictures: Pictures, answers: Answers, setting: Setting
) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Answers, bytes, stripped bytes and squared errors of one setting."""
    coded = setting.code(pictures)
    found = np.array(by_shape([each.pixels for each in coded], answers), np.int64)
    errors = [
        np.mean((each.pixels.astype(np.float64) - original) ** 2)
        for each, original in zip(coded, pictures, strict=True)
    ]
    return (
        found,
        np.array([each.bytes for each in coded], np.float64),
        np.array([each.bytes_stripped for each in coded], np.float64),
        np.array(errors),
    )
