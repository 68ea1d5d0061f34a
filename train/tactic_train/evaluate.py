"""How good a codec is, in floating point: rounding instead of noise, ideal entropy coding.

The int8 graphs and the real stream are measured from the bundle; these figures are their bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tactic_train import losses
from tactic_train.confusion import Counts, accuracy, confusion, mean_iou
from tactic_train.data import Item
from tactic_train.errors import DataError
from tactic_train.step import System
from tactic_train.windows import shrunk

_BATCH = 16
#: bounds the memory that class scores of every pixel take
_BATCH_PIXELS = 1 << 20


@dataclass(frozen=True, slots=True)
class Metrics:
    """Means over the images of one evaluation.

    Attributes
    ----------
    level : int
        Rate level; 0 is the finest.
    images, unreadable, labelled : int
    psnr_db : float
        Of 8-bit reconstructions, mean of the images' own.
    bits_per_pixel, bytes_per_image : float
        −log₂ of the fitted density; no header, no table quantisation.
    head_px : int or None
        Side at which the head saw the images; None: no head was run, or one that segments, which
        sees them as they are.
    agreement : float or None
        Share of images, or of pixels, that the head puts into the same class before and after
        coding.
    accuracy, accuracy_uncompressed : float or None
        Share of labelled images, or of pixels that are not void, that the head puts into their
        class, after and before coding.
    miou, miou_uncompressed : float or None
        Mean intersection over union of the classes of pixels, over all images together.
    """

    level: int
    images: int
    unreadable: int
    labelled: int
    psnr_db: float
    bits_per_pixel: float
    bytes_per_image: float
    head_px: int | None
    agreement: float | None
    accuracy: float | None
    accuracy_uncompressed: float | None
    miou: float | None = None
    miou_uncompressed: float | None = None


def evaluate(
    system: System,
    items: Iterable[Item],
    head_px: int | None,
    match: Callable[[str], bool] | None = None,
) -> tuple[Metrics, ...]:
    """Code every image at every level and look at what is left of it.

    Parameters
    ----------
    system : System
    items : Item
        Each is made as small as in training, and cut around its centre to whole multiples of the
        codec's stride.
    head_px : int or None
        Side at which a head that classifies sees the images; None: do not run the head.
    match : callable, optional
        Only items whose name it accepts, for example `tactic_train.imagenet.is_unseen`.

    Raises
    ------
    DataError
        No image is left, or none can be read.
    """
    chosen = [item for item in items if match is None or match(item.name)]
    levels = [_Level(level) for level in range(system.codec.levels)]
    segments = system.head.task == "segmentation"
    for pictures, labels in _batches(chosen, system.codec.stride, segments):
        before = _answers(system, pictures, head_px)
        for level in levels:
            rows, rebuilt = _code(system, pictures, level.number)
            level.add(rows, labels, before, _answers(system, rebuilt, head_px))
    if not levels[0].rows:
        raise DataError(f"none of {len(chosen)} images can be evaluated; add readable ones")
    return tuple(level.metrics(len(chosen), head_px, segments) for level in levels)


def _batches(
    items: list[Item], stride: int, segments: bool
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """Images of one size together: uint8 (N, 3, H, W) and labels (N,) or (N, H, W)."""
    pictures: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.integer]] = []
    for item in items:
        try:
            whole = item.decode() if segments else shrunk(item.decode())
            picture = _fit(whole, stride)
            mask = _fit(item.decode_mask(whole.shape), stride) if segments else None
        except DataError:
            continue
        if pictures and not _joins(picture, pictures):
            yield _stack(pictures), np.array(labels, np.int64)
            pictures, labels = [], []
        pictures.append(picture)
        labels.append(np.array(item.label) if mask is None else mask)
    if pictures:
        yield _stack(pictures), np.array(labels, np.int64)


def _joins(picture: NDArray[np.uint8], batch: list[NDArray[np.uint8]]) -> bool:
    """Whether a picture may be looked at together with others."""
    count = len(batch) + 1
    small = count * picture.shape[0] * picture.shape[1] <= _BATCH_PIXELS
    return small and count <= _BATCH and picture.shape == batch[0].shape


def _fit(picture: NDArray[Any], stride: int) -> NDArray[Any]:
    """Cut the largest centre crop with sides that are multiples of ``stride``."""
    sides = [side // stride * stride for side in picture.shape[:2]]
    if 0 in sides:
        raise DataError("an image is smaller than the codec's stride")
    top, left = ((side - fit) // 2 for side, fit in zip(picture.shape, sides, strict=False))
    return picture[top : top + sides[0], left : left + sides[1]]


def _stack(pictures: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


class _Answered(NamedTuple):
    """What a head says: classes int64 (N,) or (N, H, W), out of how many."""

    given: NDArray[np.int64]
    classes: int


@torch.no_grad()
def _answers(system: System, pictures: Tensor, head_px: int | None) -> _Answered | None:
    """Answers on pictures uint8 or float32 in [0, 255]; None without a head."""
    if head_px is None:
        return None
    device = next(system.parameters()).device
    scores = system.head(pictures.to(device).float() / 255, head_px)
    return _Answered(scores.argmax(dim=1).cpu().numpy(), scores.shape[1])


@torch.no_grad()
def _code(system: System, pictures: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """One row an image, of PSNR, bits and pixels; and what the decoder draws."""
    device = next(system.parameters()).device
    original = pictures.to(device).float()
    levels = torch.full((len(pictures), system.codec.channels), level, device=device)
    latent = losses.quantise(system.codec.encode(original / 255, levels))
    rebuilt = (system.codec.decode(latent, levels).clamp(0, 1) * 255).round()
    error = (rebuilt - original).square().mean(dim=(1, 2, 3)).clamp_min(1e-5) / 255**2
    bits = system.density.bits(latent, levels).sum(dim=(1, 2, 3))
    pixels = torch.full_like(bits, original.shape[-1] * original.shape[-2])
    columns = (-10 * error.log10(), bits, pixels)
    return torch.stack([column.double().cpu() for column in columns], dim=1), rebuilt


class _Level:
    """What is found at one rate level."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.rows: list[Tensor] = []
        self.labelled = 0
        self.answers = 0
        self.alike = 0
        self.before: Counts = np.zeros((1, 1), np.int64)
        self.after: Counts = np.zeros((1, 1), np.int64)

    def add(
        self,
        rows: Tensor,
        labels: NDArray[np.int64],
        before: _Answered | None,
        after: _Answered | None,
    ) -> None:
        self.rows.append(rows)
        self.labelled += int((labels.reshape(len(labels), -1) >= 0).any(axis=1).sum())
        if before is None or after is None:
            return
        self.answers += before.given.size
        self.alike += int((before.given == after.given).sum())
        self.before = self.before + confusion(labels, before.given, before.classes)
        self.after = self.after + confusion(labels, after.given, after.classes)

    def metrics(self, asked: int, head_px: int | None, segments: bool) -> Metrics:
        psnr, bits, pixels = torch.cat(self.rows).unbind(dim=1)
        return Metrics(
            level=self.number,
            images=len(psnr),
            unreadable=asked - len(psnr),
            labelled=self.labelled,
            psnr_db=round(float(psnr.mean()), 3),
            bits_per_pixel=round(float(bits.sum() / pixels.sum()), 5),
            bytes_per_image=round(float(bits.mean()) / 8, 1),
            head_px=None if segments else head_px,
            agreement=_rounded(self.alike / self.answers if self.answers else None),
            accuracy=_rounded(accuracy(self.after)),
            accuracy_uncompressed=_rounded(accuracy(self.before)),
            miou=_rounded(mean_iou(self.after)) if segments else None,
            miou_uncompressed=_rounded(mean_iou(self.before)) if segments else None,
        )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
