"""The photos of an experiment: squares of one size to tune heads on, and others to judge by.

Where they have masks, the squares to tune on are random windows, as in training.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

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
    stored = tuple(len(item.read()) for item in test)
    if source.has_masks:
        weights = tuple(class_weights(source.train, photos.classes).tolist())
        train = _windows(_some(source.train, len(source.train)), photos)
        judged = _centres(test, photos.side_px)
    else:
        weights = None
        train = _squares(_some(source.train, photos.tuned_on), photos.side_px)
        judged = _squares(test, photos.side_px)
    return Gallery(
        train=train.pictures,
        train_labels=train.labels,
        test=judged.pictures,
        test_labels=judged.labels,
        classes=source.classes,
        class_weights=weights,
        stored_bytes=stored,
        stored_bits_per_pixel=8 * sum(stored) / judged.pixels,
    )


class _Cut(NamedTuple):
    """What is left of some photos; ``pixels`` had the whole ones."""

    pictures: Pictures
    labels: Labels
    pixels: int


def _squares(items: Sequence[Item], side_px: int) -> _Cut:
    """Photos with a class."""
    pictures, pixels = [], 0
    for item in items:
        whole = item.decode()
        pixels += whole.shape[0] * whole.shape[1]
        pictures.append(square(whole, side_px))
    labels = np.array([item.label for item in items], np.int64)
    return _Cut(np.stack(pictures), labels, pixels)


def _centres(items: Sequence[Item], side_px: int) -> _Cut:
    """Photos with a mask, to judge by."""
    pictures, masks, pixels = [], [], 0
    for item in items:
        whole = item.decode()
        window = _centre(whole.shape)
        pixels += whole.shape[0] * whole.shape[1]
        pictures.append(crop(whole, window, side_px))
        masks.append(crop_mask(item.decode_mask(whole.shape), window, side_px))
    return _Cut(np.stack(pictures), np.stack(masks), pixels)


def _windows(items: Sequence[Item], photos: Photos) -> _Cut:
    """Photos with a mask, to tune on: windows of all photos in turn, each photo read once."""
    side, count = photos.side_px, photos.tuned_on
    pictures = np.empty((count, side, side, 3), np.uint8)
    masks = np.empty((count, side, side), np.int8)
    pixels = 0
    for first, item in enumerate(items[:count]):
        whole, rng = item.decode(), np.random.default_rng((_WINDOWS_SEED, first))
        mask = item.decode_mask(whole.shape)
        pixels += mask.size
        for number in range(first, count, len(items)):
            window = random_window(whole.shape, side, rng)
            pictures[number] = crop(whole, window, side)
            masks[number] = crop_mask(mask, window, side)
    return _Cut(pictures, masks, pixels)


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
        Gets a folder named by the files, with ``train/CLASS`` and ``val/CLASS`` of symbolic links:
        photos that come or go later make another one.
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
    files = {each: sorted(each.iterdir()) for each in found[:classes]}
    names = "\n".join(str(file.resolve()) for each in files.values() for file in each)
    linked = out / f"{classes}-classes-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
    if linked.exists():
        return linked
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        made = Path(scratch) / "made"
        for each, photos in files.items():
            random.Random(_SHUFFLE_SEED).shuffle(photos)
            cut = round(share * len(photos))
            for part, chosen in (("train", photos[:cut]), ("val", photos[cut:])):
                _link(chosen, made / part / each.name)
        with suppress(OSError):  # another process was first
            made.rename(linked)
    return linked


def _link(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).symlink_to(file.resolve())
