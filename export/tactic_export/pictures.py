"""Pictures for calibration, tables and the parity report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic_export.errors import ExportError
from tactic_train.batches import Crops
from tactic_train.config import TrainConfig
from tactic_train.data import Item, Source, decode_image, open_source
from tactic_train.heads import Task
from tactic_train.photos import class_indices


def training_crops(config: TrainConfig, count: int) -> NDArray[np.uint8]:
    """Random training crops, the same every time; uint8 (count, side, side, 3)."""
    sources = [open_source(os.path.expandvars(s)) for s in config.data.sources]
    items = tuple(item for source in sources for item in source.train)
    data = config.data
    crops = Crops(items, data.crop_px, config.seed, least_part=data.least_part)
    chosen = np.random.default_rng(config.seed).permutation(len(items))
    # Fewer photos than crops: several of each, every time another part of it.
    keys = [(i // len(items), int(chosen[i % len(items)])) for i in range(count)]
    return np.stack([crops[key][0].permute(1, 2, 0).numpy() for key in keys])


def report_pictures(
    source: str, match: str, stride: int, classes: int = 1000, task: Task = "classification"
) -> tuple[NDArray[np.uint8], NDArray[np.integer[Any]]]:
    """Validation pictures cut to whole strides, and their classes among the head's (or −1).

    Parameters
    ----------
    source : str
        A source as in training, ``KIND:PATH``.
    match : str
        Only images whose file name begins with this; empty: all.
    stride : int
    classes : int
        Of the head.
    task : str
        Of the head: classes are those of pictures (N,) or of pixels (N, H, W).

    Raises
    ------
    DataError, ExportError
    """
    opened = open_source(os.path.expandvars(source))
    items = [i for i in opened.val if i.name.rpartition("/")[2].startswith(match)]
    if not items:
        raise ExportError(f"{source}: no validation image whose name begins with {match!r}")
    pictures = [decode_image(i.read(), i.name) for i in items]
    if len({p.shape for p in pictures}) > 1:
        raise ExportError(f"{source}: the report needs pictures of one size")
    if min(pictures[0].shape[:2]) < stride:
        raise ExportError(f"{source}: the report needs pictures of {stride} pixels at least")
    cut = np.stack([_whole_strides(p, stride) for p in pictures])
    if task == "segmentation":
        known = opened.has_masks and len(opened.classes) == classes
        masks = [
            (i if known else replace(i, mask=None)).decode_mask(pictures[0].shape) for i in items
        ]
        return cut, np.stack([_whole_strides(mask, stride) for mask in masks])
    return cut, _labels(items, opened, classes)


def _whole_strides(pixels: NDArray[Any], stride: int) -> NDArray[Any]:
    height, width = (side // stride * stride for side in pixels.shape[:2])
    return pixels[:height, :width]


def _labels(items: Sequence[Item], source: Source, classes: int) -> NDArray[np.int64]:
    known = class_indices(source.classes, classes)
    indices = [known.get(name, -1) for name in source.classes]
    return np.array([indices[i.label] if i.label >= 0 else -1 for i in items], np.int64)
