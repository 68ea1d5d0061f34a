"""The images of a run: every source opened, its classes matched with those of the head."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from tactic_train import imagenet
from tactic_train.config import TrainConfig
from tactic_train.data import UNLABELLED, Item, Source, open_source
from tactic_train.errors import DataError

_TRIED = 16


@dataclass(frozen=True, slots=True)
class Photos:
    """Images to train on and images to judge by.

    Attributes
    ----------
    train, val : tuple of Item
        Labels index the head's classes; −1 where an image has none.
    classes : tuple of str
        Names of the head's classes where they are the folders' own, else empty.
    """

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    classes: tuple[str, ...]


def gather(config: TrainConfig) -> Photos:
    """Open every source of a configuration.

    Raises
    ------
    DataError
        A source is missing, none of its first images is readable, or labels are asked for and
        the folders' classes are not those of the head.
    """
    sources = [open_source(expand(text), config.seed) for text in config.data.sources]
    names = tuple(sorted({name for source in sources for name in source.classes}))
    known = class_indices(names, config.head.classes)
    if not known and any(stage.needs_labels for stage in config.stage):
        raise DataError(
            f"the sources have {len(names)} class folders and head.classes is "
            f"{config.head.classes}; set head.classes to {len(names)}, or task to teacher"
        )
    train = tuple(item for s in sources for item in _relabel(s, s.train, known))
    val = tuple(item for s in sources for item in _relabel(s, s.val, known))
    _try_first(train)
    own = len(names) == config.head.classes
    return Photos(train, val, names if own else ())


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


def _try_first(items: tuple[Item, ...]) -> None:
    """Refuse to start where nothing can be read; single broken images are left out later."""
    fault: DataError | None = None
    for item in items[:_TRIED]:
        try:
            item.decode()
        except DataError as error:
            fault = fault or error
        else:
            return
    raise fault or DataError("no image to train on; add some to data.sources")
