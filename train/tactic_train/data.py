"""Sources of images for training: folders, zips of folders, with labels or without.

A source is written ``imagefolder:PATH`` (``train/CLASS/x.jpg`` and ``val/CLASS/x.jpg``, or
``CLASS/x.jpg`` split 80:20 by a seed), ``unlabelled:PATH`` (any images below PATH), or
``camvid:PATH`` and ``cityscapes:PATH`` (a mask for each image). PATH is a folder or a zip of one;
``PATH!FOLDER`` takes only what lies below FOLDER inside it.
"""

from __future__ import annotations

import random
from pathlib import PurePosixPath

from tactic_train import road_scenes
from tactic_train.archives import SUFFIXES, Files, images
from tactic_train.errors import DataError
from tactic_train.items import UNLABELLED, VOID, Item, Mask, Source, decode_image

__all__ = [
    "KINDS",
    "SPLITS",
    "SUFFIXES",
    "UNLABELLED",
    "VOID",
    "Item",
    "Mask",
    "Source",
    "decode_image",
    "open_source",
]

_WITH_MASKS = {"camvid": road_scenes.camvid, "cityscapes": road_scenes.cityscapes}
KINDS = ("imagefolder", "unlabelled", *_WITH_MASKS)
SPLITS = {"train", "val", "test"}


def open_source(text: str, seed: int = 0) -> Source:
    """Open a source as it is written in a configuration, ``KIND:PATH``.

    Raises
    ------
    DataError
        The kind is unknown, the path is missing, or a part or all images are.
    """
    kind, _, where = text.partition(":")
    if kind not in KINDS or not where:
        raise DataError(
            f"data source {text!r}: write imagefolder:PATH or unlabelled:PATH, or camvid:PATH or "
            "cityscapes:PATH for images with masks"
        )
    files = images(where)
    if kind in _WITH_MASKS:
        return _WITH_MASKS[kind](where, files)
    if kind == "unlabelled":
        items = [Item(name, read, UNLABELLED) for name, read in sorted(files.items())]
        return Source(*_split(items, seed), classes=())
    return _labelled(where, files, seed)


def _labelled(where: str, files: Files, seed: int) -> Source:
    parents = {name: PurePosixPath(name).parts[:-1] for name in files}
    if loose := [name for name, parts in parents.items() if not parts]:
        raise DataError(
            f"{where}: {min(loose)} lies in no class folder; move it into one, "
            "or write unlabelled: instead of imagefolder:"
        )
    classes = tuple(sorted({parts[-1] for parts in parents.values()}))
    index = {name: number for number, name in enumerate(classes)}
    items = {
        name: Item(name, read, index[parents[name][-1]]) for name, read in sorted(files.items())
    }
    train = [i for n, i in items.items() if "train" in parents[n]]
    val = [i for n, i in items.items() if "val" in parents[n] or "test" in parents[n]]
    if train and val:
        return Source(tuple(train), tuple(val), classes)
    return Source(*_split(list(items.values()), seed), classes=classes)


def _split(items: list[Item], seed: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """80:20, the same for the same seed and names."""
    shuffled = items[:]
    random.Random(seed).shuffle(shuffled)
    cut = max(1, len(shuffled) * 4 // 5)
    return tuple(shuffled[:cut]), tuple(shuffled[cut:])
