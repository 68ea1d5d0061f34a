"""The photos of an experiment: squares of one size to tune heads on, and others to judge by.

Where they have masks, the squares to tune on are random windows, as in training.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import Field

from tactic.reproduce.errors import ReproduceError
from tactic_codec.config import Section
from tactic_train.class_weights import class_weights
from tactic_train.data import Item, open_source
from tactic_train.photos import expand
from tactic_train.tune import Labels, Pictures
from tactic_train.windows import Window, crop, crop_mask, random_window

_SHUFFLE_SEED = 0

_WINDOWS_SEED = 0


class Photos(Section):
    """Which photos, and how many of them."""

    source: str
    """``imagefolder:PATH`` with folders ``train`` and ``val`` (or ``test``) of class folders,
    ``camvid:PATH`` or ``cityscapes:PATH``."""
    match: str
    """Photos are judged by only if their file name begins so."""
    classes: int = Field(ge=2)
    side_px: int = Field(ge=32, multiple_of=32)
    """Photos are cut to squares and scaled to this side."""
    tuned_on: int = Field(ge=1)
    """Most photos of the training split that heads are tuned on; of those with masks, windows."""
    judged_by: int = Field(ge=1)
    """Most photos of the other split."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Photos in memory.

    Attributes
    ----------
    train, test : uint8 arrays (N, side, side, 3)
    train_labels, test_labels : int64 arrays (N,), or int8 arrays (N, side, side)
    classes : tuple of str
    class_weights : tuple of float or None
        Of the classes of pixels.
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
    class_weights: tuple[float, ...] | None
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
            f"{photos.source}: {len(source.classes)} classes, expected are {photos.classes}; "
            "use the data set that docs/reproduce.md names"
        )
    matching = [i for i in source.val if PurePosixPath(i.name).name.startswith(photos.match)]
    test = _some(matching, photos.judged_by)
    if not test:
        raise ReproduceError(f"{photos.source}: no photo of val or test begins with {photos.match}")
    cut = _cut_masked if source.has_masks else _cut_classified
    stored = tuple(len(item.read()) for item in test)
    pixels = sum(math.prod(item.decode().shape[:2]) for item in test)
    weights = class_weights(source.train, photos.classes) if source.has_masks else None
    return Gallery(
        *cut(source.train, test, photos),
        classes=source.classes,
        class_weights=None if weights is None else tuple(weights.tolist()),
        stored_bytes=stored,
        stored_bits_per_pixel=8 * sum(stored) / pixels,
    )


def _cut_classified(
    items: Sequence[Item], test: Sequence[Item], photos: Photos
) -> tuple[Pictures, Labels, Pictures, Labels]:
    train = _some(items, photos.tuned_on)
    found = [
        (
            np.stack([square(item.decode(), photos.side_px) for item in part]),
            np.array([item.label for item in part], np.int64),
        )
        for part in (train, test)
    ]
    return (*found[0], *found[1])


def _cut_masked(
    items: Sequence[Item], test: Sequence[Item], photos: Photos
) -> tuple[Pictures, Labels, Pictures, Labels]:
    side, rng = photos.side_px, np.random.default_rng(_WINDOWS_SEED)
    shuffled = _some(items, len(items))
    parts = [
        [
            (item, random_window(item.decode().shape, side, rng))
            for item in itertools.islice(itertools.cycle(shuffled), photos.tuned_on)
        ],
        [(item, _centre(item.decode().shape)) for item in test],
    ]
    found = [
        (
            np.stack([crop(item.decode(), window, side) for item, window in part]),
            np.stack(
                [crop_mask(item.decode_mask(item.decode().shape), w, side) for item, w in part]
            ),
        )
        for part in parts
    ]
    return (*found[0], *found[1])


def _centre(shape: tuple[int, ...]) -> Window:
    shorter = min(shape[:2])
    top, left = ((side - shorter) // 2 for side in shape[:2])
    return Window(top, left, shorter, mirrored=False)


def square(picture: Pictures, side_px: int) -> Pictures:
    """Cut the centre square and scale it; uint8 (side, side, 3)."""
    return crop(picture, _centre(picture.shape), side_px)


def _some(items: Sequence[Item], most: int) -> list[Item]:
    chosen = sorted(items, key=lambda item: item.name)
    random.Random(_SHUFFLE_SEED).shuffle(chosen)
    return chosen[:most]


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
