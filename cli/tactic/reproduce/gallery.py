"""The photos of an experiment: squares of one size to tune heads on, and others to judge by."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tactic.reproduce.errors import ReproduceError
from tactic_codec.config import Section
from tactic_train.data import Item, open_source
from tactic_train.photos import expand

_SHUFFLE_SEED = 0

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Photos(Section):
    """Which photos, and how many of them."""

    source: str
    """``imagefolder:PATH`` with folders ``train`` and ``val`` (or ``test``) of class folders."""
    match: str
    """Photos are judged by only if their file name begins so."""
    classes: int = Field(ge=2)
    side_px: int = Field(ge=32, multiple_of=32)
    """Photos are cut to squares and scaled to this side."""
    tuned_on: int = Field(ge=1)
    """Most photos of the training split that heads are tuned on."""
    judged_by: int = Field(ge=1)
    """Most photos of the other split."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Photos in memory.

    Attributes
    ----------
    train, test : uint8 arrays (N, side, side, 3)
    train_labels, test_labels : int64 arrays (N,)
    classes : tuple of str
        Names of the class folders.
    stored_bytes : tuple of int
        Of the files that the test photos lie in.
    stored_bits_per_pixel : float
        Of these files, by their own pixels.
    """

    train: Pictures
    train_labels: Labels
    test: Pictures
    test_labels: Labels
    classes: tuple[str, ...]
    stored_bytes: tuple[int, ...]
    stored_bits_per_pixel: float


def open_gallery(photos: Photos) -> Gallery:
    """Read the photos, the same ones in the same order every time.

    Raises
    ------
    DataError, ReproduceError
        The source is missing, has other classes, or no photo that matches.
    """
    source = open_source(expand(photos.source))
    if len(source.classes) != photos.classes:
        raise ReproduceError(
            f"{photos.source}: {len(source.classes)} class folders, expected are "
            f"{photos.classes}; use the data set that docs/reproduce.md names"
        )
    matching = [i for i in source.val if PurePosixPath(i.name).name.startswith(photos.match)]
    train = _some(source.train, photos.tuned_on)
    test = _some(matching, photos.judged_by)
    if not test:
        raise ReproduceError(f"{photos.source}: no photo of val or test begins with {photos.match}")
    opened = [item.decode() for item in test]
    stored = tuple(len(item.read()) for item in test)
    pixels = sum(picture.shape[0] * picture.shape[1] for picture in opened)
    return Gallery(
        train=np.stack([square(item.decode(), photos.side_px) for item in train]),
        train_labels=_labels(train),
        test=np.stack([square(picture, photos.side_px) for picture in opened]),
        test_labels=_labels(test),
        classes=source.classes,
        stored_bytes=stored,
        stored_bits_per_pixel=8 * sum(stored) / pixels,
    )


def square(picture: Pictures, side_px: int) -> Pictures:
    """Cut the centre square and scale it; uint8 (side, side, 3)."""
    shorter = min(picture.shape[:2])
    top, left = ((side - shorter) // 2 for side in picture.shape[:2])
    picture = picture[top : top + shorter, left : left + shorter]
    if shorter == side_px:
        return picture
    how = cv2.INTER_AREA if shorter > side_px else cv2.INTER_LINEAR_EXACT
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=how), np.uint8)


def _some(items: Sequence[Item], most: int) -> list[Item]:
    chosen = sorted(items, key=lambda item: item.name)
    random.Random(_SHUFFLE_SEED).shuffle(chosen)
    return chosen[:most]


def _labels(items: Sequence[Item]) -> Labels:
    return np.array([item.label for item in items], np.int64)


def link_classes(folder: Path, out: Path, classes: int, share: float) -> Path:
    """Make a folder of the first classes of a large data set, split, without copying a file.

    Parameters
    ----------
    folder : Path
        Class folders with photos, such as ImageNet's ``train``.
    out : Path
        Gets ``train/CLASS`` and ``val/CLASS`` with symbolic links.
    classes : int
        How many, in alphabetical order.
    share : float
        Of the photos of each class that is for training.

    Raises
    ------
    ReproduceError
        There are not so many class folders.
    """
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if len(found) < classes:
        raise ReproduceError(f"{folder}: {len(found)} class folders, {classes} are needed")
    for each in found[:classes]:
        files = sorted(each.iterdir())
        random.Random(_SHUFFLE_SEED).shuffle(files)
        cut = round(share * len(files))
        for part, chosen in (("train", files[:cut]), ("val", files[cut:])):
            _link(chosen, out / part / each.name)
    return out


def _link(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        link = folder / file.name
        if not link.is_symlink():
            link.symlink_to(file.resolve())
