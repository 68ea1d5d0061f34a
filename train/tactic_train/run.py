"""Train from a file, or from photos alone, and write down how good the result is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from accelerate import PartialState
from rich.console import Console

from tactic_codec.config import load
from tactic_train import checkpoint, imagenet, recipe
from tactic_train.config import TrainConfig
from tactic_train.data import Item
from tactic_train.errors import DataError
from tactic_train.evaluate import evaluate
from tactic_train.loop import train
from tactic_train.photos import Photos
from tactic_train.step import System

DEFAULT_HEAD = "efficientnet_lite0"


def train_from_file(
    config_path: Path | None,
    out: Path,
    *,
    sources: tuple[str, ...] = (),
    head: str | None = None,
    start: Path | None = None,
    seed: int | None = None,
) -> Path:
    """Train as ``train.toml`` says, or go on where ``out`` stands; then measure.

    Parameters
    ----------
    config_path : Path or None
        None: a recipe is chosen for photos and head.
    out : Path
        Gets ``checkpoint.pt``, ``config.json``, ``metrics.json`` and ``tensorboard/``.
    sources : tuple of str
        Instead of ``data.sources``, where there is any; a folder or a zip as such will do.
    head : str, optional
        Instead of ``head.name``.
    start : Path, optional
        Instead of ``start``: a bundle or a run whose codec goes on.
    seed : int, optional
        Instead of ``seed``.

    Returns
    -------
    Path of the checkpoint.

    Raises
    ------
    ConfigError, DataError, HeadError, CheckpointError, BundleError, TrainError
        Each message is one line that names the cause and the remedy.
    """
    config = _configure(config_path, tuple(map(recipe.name_kind, sources)), head, start)
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    system, photos = train(config, out)
    if PartialState().is_main_process:
        write_metrics(config, system, photos, out / "metrics.json")
    PartialState().destroy_process_group()
    return out / checkpoint.NAME


def _configure(
    path: Path | None, sources: tuple[str, ...], head: str | None, start: Path | None
) -> TrainConfig:
    if path is None:
        if not sources:
            raise DataError("nothing to train on: give --data PHOTOS or a configuration file")
        shows = PartialState().is_main_process
        console = Console(quiet=not shows, highlight=False, soft_wrap=True)
        return recipe.choose(sources, head or DEFAULT_HEAD, console.print, start)
    config = load(path, TrainConfig)
    if sources:
        data = config.data.model_copy(update={"sources": sources})
        config = config.model_copy(update={"data": data})
    if head:
        named = config.head.model_copy(update={"name": head})
        config = config.model_copy(update={"head": named})
    return config.model_copy(update={"start": start}) if start else config


def write_metrics(config: TrainConfig, system: System, photos: Photos, path: Path) -> None:
    """Evaluate on the validation images and write the figures as JSON.

    Where the classes are ImageNet's and there are images of its own validation set, only those
    count: published networks were trained on the others.
    """
    last, chosen = config.stage[-1], judges(config, photos)
    PartialState().print(f"measuring on {len(chosen)} images")
    metrics = evaluate(system, chosen, system.head.input_px if last.alpha else None)
    levels = [dataclasses.asdict(level) for level in metrics]
    checkpoint.replace_file(path, json.dumps({"levels": levels}, indent=2).encode())


def judges(config: TrainConfig, photos: Photos) -> tuple[Item, ...]:
    """Choose the images to measure on: of validation, or of training where there is none."""
    unseen = tuple(item for item in photos.val if imagenet.is_unseen(item.name))
    if unseen and config.head.classes == len(imagenet.labels()):
        return unseen
    return photos.val or photos.train
