"""The images of a run: every source opened, its classes matched with those of the head."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from tactic_train import imagenet
from tactic_train.config import TrainConfig
from tactic_train.data import UNLABELLED, Item, Source, open_source
from tactic_train.errors import DataError
from tactic_train.heads import Task
from tactic_train.networks import ARCHITECTURES

_TRIED = 16


@dataclass(frozen=True, slots=True)
class Photos:
    """Images to train on and images to judge by.

    Attributes
    ----------
    train, val : tuple of Item
        Labels and masks index the head's classes; an image without has −1 and None.
    classes : tuple of str
        Names of the head's classes where they are the data's own, else empty.
    """

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    classes: tuple[str, ...]


def gather(config: TrainConfig, task: Task = "classification") -> Photos:
    """Open every source of a configuration.

    Parameters
    ----------
    config : TrainConfig
    task : str
        The head's: whether the classes of images or of pixels count.

    Raises
    ------
    DataError
        A source is missing, none of its first images can be used, or labels are asked for and
        the data's classes are not those of the head.
    """
    sources = [open_source(expand(text)) for text in config.data.sources]
    sources = [s if s.has_masks == (task == "segmentation") else _bare(s) for s in sources]
    found = _of_pixels if task == "segmentation" else _of_folders
    photos = found(sources, config.head.classes)
    _try_first(photos.train)
    if photos.val:
        _try_first(photos.val, ARCHITECTURES[config.model.arch].stride)
    asked = any(stage.needs_labels for stage in config.stage)
    if asked and not any(_is_labelled(item) for item in photos.train):
        raise DataError(_no_labels(sources, config.head.classes, task))
    return photos


def _bare(source: Source) -> Source:
    """The same images without classes."""
    train, val = (
        tuple(replace(item, label=UNLABELLED, mask=None) for item in items)
        for items in (source.train, source.val)
    )
    return Source(train, val, ())


def _of_folders(sources: list[Source], classes: int) -> Photos:
    names = tuple(sorted({name for source in sources for name in source.classes}))
    known = class_indices(names, classes)
    train = tuple(item for s in sources for item in _relabel(s, s.train, known))
    val = tuple(item for s in sources for item in _relabel(s, s.val, known))
    return Photos(train, val, names if len(names) == classes else ())


def _of_pixels(sources: list[Source], classes: int) -> Photos:
    kinds = {source.classes for source in sources if source.classes}
    if len(kinds) > 1:
        raise DataError("the masks of the sources have different classes; train on one kind")
    names = kinds.pop() if kinds else ()
    known = len(names) == classes
    fitting = [source if known else _bare(source) for source in sources]
    train = tuple(item for source in fitting for item in source.train)
    val = tuple(item for source in fitting for item in source.val)
    return Photos(train, val, names if known else ())


def _is_labelled(item: Item) -> bool:
    return item.label != UNLABELLED or item.mask is not None


def _no_labels(sources: list[Source], classes: int, task: Task) -> str:
    found = len({name for source in sources for name in source.classes})
    what = "class folders" if task == "classification" else "classes in their masks"
    return (
        f"the sources have {found} {what} and head.classes is {classes}; "
        f"set head.classes to {found}, or task to teacher"
    )


def expand(text: str) -> str:
    """Put environment variables into a source.

    Raises
    ------
    DataError
        A variable is not set.
    """
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        name = expanded.split("$", 1)[1].split("/", 1)[0].strip("{}")
        raise DataError(f"{text}: {name} is not set; export {name}=FOLDER")
    return expanded


def class_indices(names: tuple[str, ...], classes: int) -> dict[str, int]:
    """Folder name → class of the head, for those that have one.

    As many folders as classes: in alphabetical order (which for the 1000 WordNet ids is that of
    ImageNet). Otherwise, for a head of 1000 classes, by WordNet id or by name.
    """
    if len(names) == classes:
        return {name: number for number, name in enumerate(names)}
    if classes != len(imagenet.labels()):
        return {}
    found = {name: imagenet.class_index(name) for name in names}
    return {name: index for name, index in found.items() if index is not None}


def _relabel(source: Source, items: tuple[Item, ...], known: dict[str, int]) -> list[Item]:
    if not source.classes:
        return list(items)
    labels = [known.get(name, UNLABELLED) for name in source.classes]
    return [replace(item, label=labels[item.label]) for item in items]


def _try_first(items: tuple[Item, ...], least_px: int = 1) -> None:
    """Refuse to start where nothing can be used; single broken images are left out later."""
    fault: DataError | None = None
    for item in items[:_TRIED]:
        try:
            height, width = item.decode().shape[:2]
            item.decode_mask((height, width))
            if min(height, width) < least_px:
                raise DataError(
                    f"{item.name}: {width}×{height} pixels, to judge by it takes {least_px} each "
                    "way; add larger ones"
                )
        except DataError as error:
            fault = fault or error
        else:
            return
    raise fault or DataError("no image to train on; add some to data.sources")
