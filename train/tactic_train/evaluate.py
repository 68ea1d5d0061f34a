"""How good a codec is, in floating point: rounding instead of noise, ideal entropy coding.

The int8 graphs and the real stream are measured from the bundle; these figures are their bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tactic_train import losses
from tactic_train.data import Item
from tactic_train.errors import DataError
from tactic_train.heads import resize
from tactic_train.step import System

_BATCH = 16


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
        Side at which the head saw the images; None: no head was run.
    agreement : float or None
        Share of images that the head puts into the same class before and after coding.
    accuracy, accuracy_uncompressed : float or None
        Share of labelled images that the head puts into their class, after and before coding.
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
        Each is cut, around its centre, to whole multiples of the codec's stride.
    head_px : int or None
        Side at which the head sees the images; None: do not run it.
    match : callable, optional
        Only items whose name it accepts, for example `tactic_train.imagenet.is_unseen`.

    Raises
    ------
    DataError
        No image is left, or none can be read.
    """
    chosen = [item for item in items if match is None or match(item.name)]
    rows: list[list[Tensor]] = [[] for _ in range(system.codec.levels)]
    for pictures, labels in _batches(chosen, system.codec.stride):
        before = _answers(system, pictures, head_px)
        for level, found in enumerate(rows):
            found.append(_judge(system, pictures, labels, before, level, head_px))
    if not rows[0]:
        raise DataError(f"none of {len(chosen)} images can be evaluated; add readable ones")
    return tuple(
        _summary(torch.cat(found), level, len(chosen), head_px) for level, found in enumerate(rows)
    )


def _batches(items: list[Item], stride: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images of one size together: uint8 (N, 3, H, W) and int64 (N,)."""
    pictures: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for item in items:
        try:
            picture = _fit(item.decode(), stride)
        except DataError:
            continue
        if pictures and (len(pictures) == _BATCH or picture.shape != pictures[0].shape):
            yield _stack(pictures), torch.tensor(labels)
            pictures, labels = [], []
        pictures.append(picture)
        labels.append(item.label)
    if pictures:
        yield _stack(pictures), torch.tensor(labels)


def _fit(picture: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """Cut the largest centre crop with sides that are multiples of ``stride``."""
    sides = [side // stride * stride for side in picture.shape[:2]]
    if 0 in sides:
        raise DataError("an image is smaller than the codec's stride")
    top, left = ((side - fit) // 2 for side, fit in zip(picture.shape, sides, strict=False))
    return picture[top : top + sides[0], left : left + sides[1]]


def _stack(pictures: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


@torch.no_grad()
def _answers(system: System, pictures: Tensor, head_px: int | None) -> Tensor:
    """Class of every picture, uint8 or float32 in [0, 255]; −1 without a head; (N,)."""
    if head_px is None:
        return torch.full((len(pictures),), -1)
    device = next(system.parameters()).device
    seen = resize(pictures.to(device).float() / 255, head_px)
    return system.head.features(seen)[1].argmax(dim=1).cpu()


@torch.no_grad()
def _judge(
    system: System,
    pictures: Tensor,
    labels: Tensor,
    before: Tensor,
    level: int,
    head_px: int | None,
) -> Tensor:
    """One row an image: PSNR, bits, pixels, label, class after, class before."""
    device = next(system.parameters()).device
    original = pictures.to(device).float()
    levels = torch.full((len(pictures), system.codec.channels), level, device=device)
    latent = losses.quantise(system.codec.encode(original / 255, levels))
    rebuilt = (system.codec.decode(latent, levels).clamp(0, 1) * 255).round()
    error = (rebuilt - original).square().mean(dim=(1, 2, 3)).clamp_min(1e-5) / 255**2
    bits = system.density.bits(latent, levels).sum(dim=(1, 2, 3))
    pixels = torch.full_like(bits, original.shape[-1] * original.shape[-2])
    after = _answers(system, rebuilt, head_px)
    columns = (-10 * error.log10(), bits, pixels, labels, after, before)
    return torch.stack([column.double().cpu() for column in columns], dim=1)


def _summary(rows: Tensor, level: int, asked: int, head_px: int | None) -> Metrics:
    psnr, bits, pixels, label, after, before = rows.unbind(dim=1)
    known = label >= 0
    headed = head_px is not None

    def share(hits: Tensor, counts: bool) -> float | None:
        return round(float(hits.double().mean()), 4) if counts and len(hits) else None

    return Metrics(
        level=level,
        images=len(rows),
        unreadable=asked - len(rows),
        labelled=int(known.sum()),
        psnr_db=round(float(psnr.mean()), 3),
        bits_per_pixel=round(float(bits.sum() / pixels.sum()), 5),
        bytes_per_image=round(float(bits.mean()) / 8, 1),
        head_px=head_px,
        agreement=share(after == before, headed),
        accuracy=share((after == label)[known], headed),
        accuracy_uncompressed=share((before == label)[known], headed),
    )
