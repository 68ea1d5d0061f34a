"""Every picture through every setting: one row of figures for each."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate.pictures import Album, Truth, by_shape
from tactic.evaluate.setting import Pictures, Setting
from tactic_train.confusion import Counts, confusion

PICTURES_AT_ONCE = 8

Answers = Callable[[NDArray[np.uint8]], NDArray[np.integer[Any]]]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Figures of P settings on N pictures.

    Attributes
    ----------
    right : float64 array (P, N)
        1 where the head's first class is the right one, else 0; of pixels, the share that are
        right. Where there are no labels, the answer on the uncompressed picture is right.
    agrees : float64 array (P, N)
        The same against the uncompressed picture.
    bytes, bytes_stripped : float64 array (P, N)
    squared_error : float64 array (P, N)
        Mean over a picture's values, 0 … 255².
    clean_right : float64 array (N,)
        As ``right``, of the uncompressed pictures.
    pixels : float64 array (N,)
    confusion, clean_confusion : int64 arrays (P, K, K) and (K, K)
        How often pixels of each of K classes were given each; K is 0 without masks.
    """

    right: Floats
    agrees: Floats
    bytes: Floats
    bytes_stripped: Floats
    squared_error: Floats
    clean_right: Floats
    pixels: Floats
    confusion: Counts
    clean_confusion: Counts


def measure(
    album: Album, settings: Sequence[Setting], answers: Answers, done: Callable[[int], None]
) -> Rows:
    """Run everything.

    Parameters
    ----------
    album : Album
    settings : sequence of Setting
    answers : callable uint8 (N, H, W, 3) -> integers (N,) or (N, H, W)
        The head.
    done : callable
        Told after each setting how many pictures went through it.
    """
    figures, clean_right, pixels = [], [], []
    counts = np.zeros((len(settings), album.classes, album.classes), np.int64)
    clean_counts = counts[:0].sum(axis=0)
    # The networks run on one thread each: settings side by side use several cores better.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for pictures, labels in album.chunks(PICTURES_AT_ONCE):
            clean = by_shape(pictures, answers)
            judge = _Judge(labels if album.labelled else clean, clean, album.classes)
            columns = []
            for column in pool.map(functools.partial(_column, pictures, answers, judge), settings):
                columns.append(column)
                done(len(pictures))
            figures.append(np.stack([rows for rows, _ in columns], axis=1))
            counts += np.stack([confused for _, confused in columns])
            clean_right.append(judge.right(clean))
            clean_counts = clean_counts + judge.confusion(clean)
            pixels += [each.shape[0] * each.shape[1] for each in pictures]
    right, agrees, sizes, stripped, errors = np.concatenate(figures, axis=-1)
    return Rows(
        right,
        agrees,
        sizes,
        stripped,
        errors,
        clean_right=np.concatenate(clean_right),
        pixels=np.array(pixels, np.float64),
        confusion=counts,
        clean_confusion=clean_counts,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """What is right for some pictures, what the head says about them, classes of pixels."""

    truth: Sequence[Truth]
    clean: Sequence[Truth]
    classes: int

    def right(self, found: Sequence[Truth]) -> Floats:
        return _shares(found, self.truth)

    def agrees(self, found: Sequence[Truth]) -> Floats:
        return _shares(found, self.clean)

    def confusion(self, found: Sequence[Truth]) -> Counts:
        counts = np.zeros((self.classes, self.classes), np.int64)
        if self.classes:
            for given, truth in zip(found, self.truth, strict=True):
                counts += confusion(truth, given, self.classes)
        return counts


def _shares(found: Sequence[Truth], truth: Sequence[Truth]) -> Floats:
    """Share of each picture's answers that are right; void ones count nowhere."""
    hits = [
        np.mean(np.asarray(given == right)[np.asarray(right) >= 0])
        for given, right in zip(found, truth, strict=True)
    ]
    return np.array(hits, np.float64)


def _column(
    pictures: Pictures, answers: Answers, judge: _Judge, setting: Setting
) -> tuple[Floats, Counts]:
    """Figures of one setting, float64 (5, N) in the order of `Rows`, and its confusion."""
    coded = setting.code(pictures)
    found = by_shape([each.pixels for each in coded], answers)
    errors = [
        np.mean((each.pixels.astype(np.float64) - original) ** 2)
        for each, original in zip(coded, pictures, strict=True)
    ]
    figures = (
        judge.right(found),
        judge.agrees(found),
        [each.bytes for each in coded],
        [each.bytes_stripped for each in coded],
        errors,
    )
    return np.array(figures, np.float64), judge.confusion(found)
