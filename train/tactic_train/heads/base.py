"""What every task network has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses
from torch.nn.modules.batchnorm import _BatchNorm

Task = Literal["classification", "segmentation"]


class Head(nn.Module, ABC):
    """A task network for pictures in [0, 1].

    Attributes
    ----------
    task : str
        ``classification``: one row of scores for each picture; ``segmentation``: one for each
        pixel.
    input_px : int
        Side of the square that a classification network was published for; ``forward`` resizes
        to it unless told another.
    labels : tuple of str
        Class names in the order of the scores.
    fresh : bool
        Its scores mean nothing until it has been trained.
    """

    task: Task = "classification"
    input_px: int = 224
    labels: tuple[str, ...] = ()
    fresh: bool = False

    @abstractmethod
    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Give inner maps for distillation and logits; no resizing.

        Logits are (N, classes) for classification, (N, classes, H, W) for segmentation.
        """

    def to_input(self, picture: Tensor, side_px: int) -> Tensor:
        """What the head looks at: a square to classify; to segment, the picture as it is."""
        return resize(picture, side_px) if self.task == "classification" else picture

    def forward(self, picture: Tensor, input_px: int | None = None) -> Tensor:
        """Logits of pictures float32 (N, 3, H, W) in [0, 1]."""
        return self.features(self.to_input(picture, input_px or self.input_px))[1]


def resize(picture: Tensor, side_px: int) -> Tensor:
    """Bilinear to (side, side); antialiased where a side shrinks, untouched where it fits."""
    if picture.shape[-2:] == (side_px, side_px):
        return picture
    shrinks = max(picture.shape[-2:]) > side_px
    return F.interpolate(
        picture, (side_px, side_px), mode="bilinear", align_corners=False, antialias=shrinks
    )


def enlarge(maps: Tensor, size: torch.Size) -> Tensor:
    """Bilinear to (H, W)."""
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def numbered(classes: int) -> tuple[str, ...]:
    """Plain numbers as class names, until the data names them."""
    return tuple(str(number) for number in range(classes))


@torch.no_grad()
def measure_statistics(head: Head, picture: Tensor) -> None:
    """Set batch normalisations to the statistics of one batch of uncompressed pictures.

    A head that starts from random weights could not be trained without. Those that have statistics
    of their own, from an earlier training, keep them.

    Parameters
    ----------
    picture : float32 (N, 3, side, side) in [0, 1]
    """
    norms = [m for m in head.modules() if isinstance(m, _BatchNorm) and _is_unmeasured(m)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    head.features(picture)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.eval().momentum = momentum


def _is_unmeasured(norm: _BatchNorm) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    return (
        mean is not None and variance is not None and not mean.any() and bool(variance.eq(1).all())
    )
