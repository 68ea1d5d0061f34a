"""Sources of images for training: folders, zips of folders, with labels or without.

A source is written ``imagefolder:PATH`` (``train/CLASS/x.jpg`` and ``val/CLASS/x.jpg``, or
``CLASS/x.jpg`` split 80:20 by chance, always alike), ``unlabelled:PATH`` (any images below PATH),
or ``camvid:PATH`` and ``cityscapes:PATH`` (a mask for each image). PATH is a folder or a zip of
one; ``PATH!FOLDER`` takes only what lies below FOLDER inside it.
"""

from __future__ import annotations

import random
from pathlib import PurePosixPath

from tactic_train import road_scenes
from tactic_train.archives import SUFFIXES, Files, images
from tactic_train.errors import DataError
from tactic_train.items import UNLABELLED, VOID, Item, Mask, Source, decode_image

__all__ = [
    "HELD_OUT",
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
HELD_OUT = {"val", "valid", "validation", "test"}
SPLITS = {"train", *HELD_OUT}
_SPLIT_SEED = 0


def open_source(text: str) -> Source:
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
        return Source(*_split(items), classes=())
    return _labelled(where, files)


def _labelled(where: str, files: Files) -> Source:
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
    # A class may be called train or test: only folders above those of the classes count.
    above = {name: {part.lower() for part in parts[:-1]} for name, parts in parents.items()}
    val = [item for name, item in items.items() if above[name] & HELD_OUT]
    train = [i for n, i in items.items() if "train" in above[n] and not above[n] & HELD_OUT]
    if train and val:
        return Source(tuple(train), tuple(val), classes)
    return Source(*_split(list(items.values())), classes=classes)


def _split(items: list[Item]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """80:20, the same for the same names, whoever asks."""
    shuffled = items[:]
    random.Random(_SPLIT_SEED).shuffle(shuffled)
    cut = max(1, len(shuffled) * 4 // 5)
    return tuple(shuffled[:cut]), tuple(shuffled[cut:])
