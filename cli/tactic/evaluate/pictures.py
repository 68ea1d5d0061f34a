"""The pictures of an evaluation: found, checked, cut to whole strides, with their classes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate.errors import EvaluationError
from tactic.evaluate.setting import Pictures
from tactic_train.data import HELD_OUT, KINDS, SPLITS, Item, Source, open_source
from tactic_train.errors import DataError

#: class of a picture, or of every pixel
Truth = NDArray[np.integer[Any]]

_SHUFFLE_SEED = 0
_IMAGENET_CLASSES = 1000
#: bounds the memory that a network takes, whatever the pictures' size
_VALUES_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Album:
    """Pictures in the order in which they are looked at.

    Attributes
    ----------
    items : tuple of Item
        ``label`` is an index of the head's classes, −1 where the picture has none; ``mask`` has
        those of its pixels, where the head segments.
    labelled : bool
        Every picture has a class that the head knows, or a mask.
    left_out : int
        Pictures of other classes, in a source where some are known.
    stride : int
    classes : int
        Of pixels; 0 where there are no masks.
    """

    items: tuple[Item, ...]
    labelled: bool
    left_out: int
    stride: int
    classes: int

    def check(self) -> None:
        """Look at every picture, so that a bad one is found at once and not after an hour.

        Raises
        ------
        DataError, EvaluationError
        """
        for item in self.items:
            _cut(item, self.stride)
            if not np.any(_truth(item, self.stride) >= 0) and self.labelled:
                raise EvaluationError(f"{item.name}: every pixel of its mask is void; leave it out")

    def chunks(self, size: int) -> Iterator[tuple[Pictures, list[Truth]]]:
        """Give ``size`` pictures at a time, uint8 (H, W, 3) of whole strides, and their classes."""
        for start in range(0, len(self.items), size):
            part = self.items[start : start + size]
            yield (
                [_cut(item, self.stride) for item in part],
                [_truth(item, self.stride) for item in part],
            )


def open_album(
    source: str,
    match: str,
    limit: int | None,
    stride: int,
    labels: Sequence[str],
    task: str = "classification",
) -> Album:
    """Find the pictures.

    Parameters
    ----------
    source : str
        ``KIND:PATH`` as in training, or PATH alone.
    match : str
        Only pictures whose file name begins with this.
    limit : int or None
        Only so many, after a shuffle that is the same every time.
    stride : int
    labels : sequence of str
        The head's classes.
    task : str
        The head's.

    Raises
    ------
    DataError, EvaluationError
        There are none; the message names what is missing.
    """
    opened = _open(_expand(source))
    items = [i for i in _held_out(opened) if PurePosixPath(i.name).name.startswith(match)]
    if not items:
        raise EvaluationError(f"{source}: no picture whose name begins with {match!r}")
    named = _known(items, opened, labels, task)
    seen = [item for item in named if item.label >= 0 or item.mask]
    chosen = sorted(seen or named, key=lambda item: item.name)
    random.Random(_SHUFFLE_SEED).shuffle(chosen)
    classes = len(labels) if any(item.mask for item in seen) else 0
    return Album(tuple(chosen[:limit]), bool(seen), len(items) - len(chosen), stride, classes)


def by_shape(arrays: Sequence[Any], run: Callable[[NDArray[Any]], Iterable[Any]]) -> list[Any]:
    """Give arrays of any sizes to a network, in batches of one shape; keep their order.

    Parameters
    ----------
    arrays : sequence of arrays
    run : callable array (N, ...) -> sequence of N
    """
    found: list[Any] = [None] * len(arrays)
    for part in groups(arrays):
        for number, result in zip(part, run(np.stack([arrays[n] for n in part])), strict=True):
            found[number] = result
    return found


def groups(arrays: Sequence[Any]) -> Iterator[list[int]]:
    """Give the numbers of arrays of one shape, as many as a network shall take at once."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for number, array in enumerate(arrays):
        shapes.setdefault(array.shape, []).append(number)
    for numbers in shapes.values():
        size = max(1, _VALUES_AT_ONCE // arrays[numbers[0]].size)
        yield from (numbers[start : start + size] for start in range(0, len(numbers), size))


def _expand(source: str) -> str:
    if "$" not in source:
        return source
    from tactic_train.photos import expand

    return expand(source)


def _open(source: str) -> Source:
    if source.partition(":")[0] in KINDS:
        return open_source(source)
    try:
        return open_source(f"imagefolder:{source}")
    except DataError:
        return open_source(f"unlabelled:{source}")


def _held_out(source: Source) -> list[Item]:
    """The pictures of folders of ``HELD_OUT`` beside ``train``; all, where there are none."""
    if source.has_masks:
        return list(source.val)
    items = [*source.train, *source.val]
    # As in training, a class may be called like a split: only the folders above it count.
    file = 1 if {name.lower() for name in source.classes} <= SPLITS else 2
    folders = [{part.lower() for part in PurePosixPath(i.name).parts[:-file]} for i in items]
    if not any("train" in parts for parts in folders):
        return items
    held = [item for item, parts in zip(items, folders, strict=True) if parts & HELD_OUT]
    return held or items


def _class_indices(folders: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    """Class folder → index among the head's classes.

    By name. If not all are found so: as many folders as classes are the classes in alphabetical
    order, as in training; and ImageNet's classes are found by WordNet id, too.
    """
    index = {label: number for number, label in reversed(list(enumerate(labels)))}
    found = {name: index.get(name, index.get(name.replace("_", " "), -1)) for name in folders}
    if -1 in found.values() and len(folders) == len(labels):
        return {name: number for number, name in enumerate(sorted(folders))}
    if -1 in found.values() and len(labels) == _IMAGENET_CLASSES:
        from tactic_train.imagenet import WORDNET

        found = {name: WORDNET.get(name, at) if at < 0 else at for name, at in found.items()}
    return {name: at for name, at in found.items() if at >= 0}


def _known(items: Sequence[Item], source: Source, labels: Sequence[str], task: str) -> list[Item]:
    """The items with such classes as the head can be right about."""
    if task == "segmentation":
        fits = source.has_masks and source.classes == tuple(labels)
        return [replace(item, label=-1, mask=item.mask if fits else None) for item in items]
    known = {} if source.has_masks else _class_indices(source.classes, labels)
    indices = [known.get(name, -1) for name in source.classes]
    return [
        replace(item, label=indices[item.label] if item.label >= 0 else -1, mask=None)
        for item in items
    ]


def _cut(item: Item, stride: int) -> NDArray[np.uint8]:
    """Decode, and cut whole strides around the centre."""
    pixels = item.decode()
    if min(pixels.shape[:2]) < stride:
        raise EvaluationError(
            f"{item.name}: {pixels.shape[1]}x{pixels.shape[0]} pixels; the bundle needs at least "
            f"{stride}x{stride}, leave it out"
        )
    return np.ascontiguousarray(_whole(pixels, stride))


def _truth(item: Item, stride: int) -> Truth:
    """Class of a picture, 0-d, or of its pixels, (H, W); −1 where unknown."""
    if item.mask is None:
        return np.array(item.label)
    return _whole(item.decode_mask(item.decode().shape), stride)


def _whole(pixels: NDArray[Any], stride: int) -> NDArray[Any]:
    height, width = (side // stride * stride for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
