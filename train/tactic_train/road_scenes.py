"""Road scenes with a class for every pixel: CamVid and Cityscapes, laid out as published."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from tactic_train.archives import Files
from tactic_train.errors import DataError
from tactic_train.items import UNLABELLED, VOID, Item, Mask, Source

#: CamVid's classes as Badrinarayanan et al., "SegNet" (2017), grouped them; 11 is void
CAMVID = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car",
    "Pedestrian", "Bicyclist",
)  # fmt: skip

#: Cityscapes' classes and the ids that its label files have for them; other ids are void
CITYSCAPES = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17,
    "traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23,
    "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32,
    "bicycle": 33,
}  # fmt: skip

MaskOf = Callable[[str], str]


def camvid(where: str, files: Files) -> Source:
    """Open ``images/SPLIT/x.jpg`` with ``masks/SPLIT/x.png``, values 0 … 10, else void.

    The images of ``test`` are held out, or of ``val`` where there is no ``test``.

    Raises
    ------
    DataError
        A part is missing; the message names it.
    """

    def mask_of(name: str) -> str:
        return PurePosixPath(_exchange(name, "images", "masks")).with_suffix(".png").as_posix()

    held = "test" if _of_split(files, "images", "test") else "val"
    classes = _table(range(len(CAMVID)))
    train, val = (
        _items(where, files, ("images", split), mask_of, classes) for split in ("train", held)
    )
    return Source(train, val, CAMVID)


def cityscapes(where: str, files: Files) -> Source:
    """Open ``leftImg8bit/SPLIT/CITY/x_leftImg8bit.png`` with ``gtFine/…/x_gtFine_labelIds.png``.

    The images of ``val`` are held out: those of ``test`` come without their classes.

    Raises
    ------
    DataError
        A part is missing; the message names it.
    """

    def mask_of(name: str) -> str:
        exchanged = _exchange(name, "leftImg8bit", "gtFine")
        return exchanged.replace("_leftImg8bit.", "_gtFine_labelIds.")

    classes = _table(CITYSCAPES.values())
    train, val = (
        _items(where, files, ("leftImg8bit", split), mask_of, classes) for split in ("train", "val")
    )
    return Source(train, val, tuple(CITYSCAPES))


def _table(values: Iterable[int]) -> NDArray[np.int8]:
    """Class of every value in a file; int8 (256,)."""
    table = np.full(256, VOID, np.int8)
    for number, value in enumerate(values):
        table[value] = number
    return table


def _items(
    where: str, files: Files, below: tuple[str, str], mask_of: MaskOf, classes: NDArray[np.int8]
) -> tuple[Item, ...]:
    names = _of_split(files, *below)
    if not names:
        raise DataError(f"{where}: no image below {'/'.join(below)}; lay it out as published")
    for name in names:
        if mask_of(name) not in files:
            raise DataError(
                f"{where}: {name} has no mask {mask_of(name)}; add it or remove the image"
            )
    masks = (Mask(mask_of(name), files[mask_of(name)], classes) for name in names)
    return tuple(
        Item(name, files[name], UNLABELLED, mask) for name, mask in zip(names, masks, strict=True)
    )


def _of_split(files: Files, folder: str, split: str) -> list[str]:
    """Names below ``…/folder/split/``, sorted."""
    inside = f"/{folder}/{split}/"
    return sorted(name for name in files if inside in f"/{name}")


def _exchange(name: str, folder: str, other: str) -> str:
    """The same name below another folder."""
    parts = list(PurePosixPath(name).parts)
    parts[parts.index(folder)] = other
    return "/".join(parts)
