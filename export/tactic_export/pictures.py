"""Pictures for calibration, tables and the parity report."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tactic_export.errors import ExportError
from tactic_train.batches import Crops
from tactic_train.config import TrainConfig
from tactic_train.data import Item, decode_image, open_source
from tactic_train.photos import class_indices


def training_crops(config: TrainConfig, count: int) -> NDArray[np.uint8]:
    """Random training crops, the same every time; uint8 (count, side, side, 3)."""
    sources = [open_source(os.path.expandvars(s), config.seed) for s in config.data.sources]
    items = tuple(item for source in sources for item in source.train)
    crops = Crops(items, config.data.crop_px, config.seed)
    chosen = np.random.default_rng(config.seed).permutation(len(items))
    keys = [(0, int(chosen[i % len(items)])) for i in range(count)]
    return np.stack([crops[key][0].permute(1, 2, 0).numpy() for key in keys])


def report_pictures(
    source: str, match: str, stride: int, classes: int = 1000
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Validation pictures cut to whole strides, and their classes among the head's (or −1).

    Parameters
    ----------
    source : str
        ``imagefolder:PATH`` or ``unlabelled:PATH``.
    match : str
        Only images whose file name begins with this; empty: all.
    stride : int
    classes : int
        Of the head.

    Raises
    ------
    DataError, ExportError
    """
    opened = open_source(os.path.expandvars(source))
    items = [i for i in opened.val if i.name.rpartition("/")[2].startswith(match)]
    if not items:
        raise ExportError(f"{source}: no validation image whose name begins with {match!r}")
    pictures = [_whole_strides(decode_image(i.read(), i.name), stride) for i in items]
    if len({p.shape for p in pictures}) > 1:
        raise ExportError(f"{source}: the report needs pictures of one size")
    known = class_indices(opened.classes, classes)
    return np.stack(pictures), _labels(items, [known.get(name, -1) for name in opened.classes])


def _whole_strides(picture: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    height, width = (side // stride * stride for side in picture.shape[:2])
    return picture[:height, :width]


def _labels(items: Sequence[Item], indices: Sequence[int]) -> NDArray[np.int64]:
    return np.array([indices[i.label] if i.label >= 0 else -1 for i in items], np.int64)
