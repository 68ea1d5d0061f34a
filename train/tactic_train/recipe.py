"""A configuration for photos without one: a built-in recipe, chosen by what photos and head are."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tactic_train import imagenet
from tactic_train.archives import images
from tactic_train.checkpoint import model_of
from tactic_train.config import TrainConfig
from tactic_train.data import KINDS, SPLITS, open_source
from tactic_train.errors import DataError, HeadError
from tactic_train.heads import Head, make_head
from tactic_train.photos import expand

FOLDER = Path(__file__).with_name("recipes")
#: for a head that has yet to learn the classes of the photos
OWN_CLASSES = FOLDER / "own-classes.toml"
#: for a head that knows its classes
PUBLISHED_HEAD = FOLDER / "published-head.toml"
_SHOWN = 8


def name_kind(text: str) -> str:
    """Put ``imagefolder:`` before a source that holds class folders, ``unlabelled:`` before others.

    Raises
    ------
    DataError
        There are no images, or some in folders and others beside them.
    """
    if text.partition(":")[0] in KINDS:
        return text
    files = images(expand(text))
    if not any("/" in name for name in files):
        return f"unlabelled:{text}"
    source = open_source(f"imagefolder:{expand(text)}")
    named = len({name.lower() for name in source.classes} - SPLITS) > 1
    return f"imagefolder:{text}" if named else f"unlabelled:{text}"


def choose(
    sources: tuple[str, ...], head: str, say: Callable[[str], None], start: Path | None = None
) -> TrainConfig:
    """Choose a recipe and fill in photos and head.

    Parameters
    ----------
    sources : tuple of str
        With their kinds.
    head : str
        Name of the head.
    say : callable
        Takes a line that tells what was chosen.
    start : Path, optional
        A bundle or a run whose codec is to go on. It draws already, so the stages that teach that
        are left out.

    Raises
    ------
    DataError, HeadError, CheckpointError, BundleError
        There are no images, the head could learn its classes from nothing, or there is no start.
    """
    opened = [open_source(expand(text)) for text in sources]
    names = sorted({name for source in opened for name in source.classes})
    if len(names) == 1:
        raise DataError(
            f"one class folder, {names[0]}: a head tells two classes apart at least; add another, "
            "or write unlabelled: before the folder"
        )
    classes = len(names) or len(imagenet.labels())
    made = make_head(head, classes)
    fresh = made.fresh
    masked = any(source.has_masks for source in opened)
    if masked != (made.task == "segmentation") and names:
        has = "masks" if masked else "class folders"
        raise HeadError(f"head {head} cannot learn from {has}; name another with --head")
    if fresh and not names:
        raise HeadError(
            f"head {head} has no weights and the photos have no classes to learn: sort them into a "
            "folder for each class, or take efficientnet_lite0, which knows 1000 classes"
        )
    path = OWN_CLASSES if fresh else PUBLISHED_HEAD
    recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    chosen: dict[str, object] = {
        "head": _sized(made, recipe) | {"name": head, "classes": classes},
        "data": {"sources": sources},
    }
    if start:
        taught = [stage for stage in recipe["stage"] if stage.get("alpha")]
        chosen |= {"start": start, "model": model_of(start), "stage": taught}
    config = TrainConfig.model_validate(recipe | chosen)
    train, val = sum(len(s.train) for s in opened), sum(len(s.val) for s in opened)
    say(f"photos: {train} to train on, {val} to judge by, {_listed(names)}")
    does = "learns the classes first" if fresh else "stays as it is"
    begins = f", codec begins with {start}" if start else ""
    say(f"recipe {path.stem}: {config.steps} steps; head {head} {does}{begins}")
    return config


def _sized(head: Head, recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe's size of a head's pictures, unless the head has one of its own."""
    own = head.input_px != Head.input_px
    return {} if own else recipe.get("head", {})


def _listed(names: list[str]) -> str:
    more = ", …" if len(names) > _SHOWN else ""
    return f"{len(names)} classes ({', '.join(names[:_SHOWN])}{more})" if names else "no classes"
