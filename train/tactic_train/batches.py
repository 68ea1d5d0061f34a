"""Batches as a pure function of (seed, step): what makes resuming and several processes exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tactic_train.config import Data
from tactic_train.data import Item
from tactic_train.errors import DataError
from tactic_train.windows import LEAST_PART, crop, crop_mask, random_window, shrunk

CACHE_BYTES = 2**30
# Third word of the noise's seed; crops have the number of their image there.
_NOISE = 2**32 - 1
_FITTED = 192

_Decoded = tuple[NDArray[np.uint8], NDArray[np.int8] | None]


class Sample(NamedTuple):
    """One crop; a batch is the same tuple with a first dimension.

    Attributes
    ----------
    picture : uint8 (3, side, side)
    label : int64 (), or int64 (side, side) where any image has a mask
        −1 where the image or the pixel has none.
    broken : int64 ()
        Number of the unreadable image that this crop stands in for; −1: none.
    """

    picture: Tensor
    label: Tensor
    broken: Tensor


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Keys ``(step, item)`` of every batch from ``start`` to ``stop``; each epoch is a permutation.

    Parameters
    ----------
    items : int
    batch : int
        Images of one step over all processes.
    share : slice
        This process's part of every batch.
    seed, start, stop : int
    """

    def __init__(
        self, items: int, batch: int, share: slice, *, seed: int, start: int, stop: int
    ) -> None:
        self.items = items
        self.batch = batch
        self.share = share
        self.seed = seed
        self.start = start
        self.stop = stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, np.empty(0, np.int64)
        for step in range(self.start, self.stop):
            keys = []
            for position in range(step * self.batch, (step + 1) * self.batch):
                if position // self.items != epoch:
                    epoch = position // self.items
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.items)
                keys.append((step, int(order[position % self.items])))
            yield keys[self.share]


class Crops(Dataset[Sample]):
    """Random square crops of decoded images, which are kept as far as ``cache_bytes`` goes.

    Items are keyed ``(step, item)``; the crop depends on (seed, step, item) only. The next
    readable image stands in for a broken one.
    """

    def __init__(
        self,
        items: tuple[Item, ...],
        crop_px: int,
        seed: int,
        cache_bytes: int = CACHE_BYTES,
        least_part: float = LEAST_PART,
    ) -> None:
        self.items = items
        self.crop_px = crop_px
        self.seed = seed
        self.least_part = least_part
        self._masked = any(item.mask for item in items)
        self._room_bytes = cache_bytes
        self._decoded: dict[int, _Decoded] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        step, wanted = key
        index, (picture, mask) = self._readable(wanted)
        rng = np.random.default_rng((self.seed, step, wanted))
        window = random_window(picture.shape, self.crop_px, rng, self.least_part)
        label = self.items[index].label if mask is None else crop_mask(mask, window, self.crop_px)
        return Sample(
            torch.from_numpy(crop(picture, window, self.crop_px)).permute(2, 0, 1),
            torch.tensor(label, dtype=torch.int64),
            torch.tensor(-1 if index == wanted else wanted),
        )

    def _readable(self, wanted: int) -> tuple[int, _Decoded]:
        for further in range(len(self.items)):
            index = (wanted + further) % len(self.items)
            try:
                return index, self._decode(index)
            except DataError:
                continue
        raise DataError(f"{self.items[wanted].name}: neither it nor any other image is readable")

    def _decode(self, index: int) -> _Decoded:
        if index in self._decoded:
            return self._decoded[index]
        item = self.items[index]
        picture = item.decode() if self._masked else shrunk(item.decode())
        mask = item.decode_mask(picture.shape) if self._masked else None
        size_bytes = picture.nbytes + (mask.nbytes if mask is not None else 0)
        if size_bytes <= self._room_bytes:
            self._room_bytes -= size_bytes
            self._decoded[index] = picture, mask
        return picture, mask


class Draw(NamedTuple):
    """What chance and turn decide for the images of a batch.

    Attributes
    ----------
    noise : float32 (N, C, h, w)
        The u of eq. 5, uniform in [−½, ½).
    level : int64 (N, C)
        Rate level of each channel. That of an image is its first channel's; finer levels have
        more turns. The last channels of some images are two levels coarser.
    """

    noise: Tensor
    level: Tensor


def draw(
    seed: int,
    step: int,
    shape: tuple[int, int, int, int],
    levels: int,
    tail_drop: float,
    alone: int | None = None,
) -> Draw:
    """Draw for a whole batch, the same on any number of processes; each then cuts its share.

    Parameters
    ----------
    seed, step : int
    shape : (N, C, h, w)
        Of the batch's latents.
    levels : int
    tail_drop : float
        Share of images whose last channels are coarser: between none and seven eighths of them.
    alone : int or None
        The level of every image, instead of all levels in turn.
    """
    rng = np.random.default_rng((seed, step, _NOISE))
    images, channels = shape[:2]
    noise = rng.random(shape, np.float32) - np.float32(0.5)
    some = rng.integers(max(1, channels // 8), channels, images, endpoint=True)
    refined = np.where(rng.random(images) < tail_drop, some, channels)
    turns = np.repeat(np.arange(levels), np.arange(levels, 0, -1))
    if alone is not None:
        turns = np.array([alone])
    level = turns[(np.arange(images) + step * images) % len(turns), np.newaxis]
    coarser = np.arange(channels) >= refined[:, np.newaxis]
    level = np.where(coarser, np.minimum(level + 2, levels), level)
    return Draw(torch.from_numpy(noise), torch.from_numpy(level))


def some_crops(items: tuple[Item, ...], data: Data, seed: int) -> Tensor:
    """Cut what a network is fitted to before its first step, always the same crops.

    Returns
    -------
    float32 (192, 3, side, side) in [0, 1]
    """
    crops = Crops(items, data.crop_px, seed, least_part=data.least_part)
    (keys,) = StepSampler(len(crops), _FITTED, slice(None), seed=seed, start=0, stop=1)
    # Fewer photos than crops: several of each, every time another part of it.
    turns = ((number // len(items), item) for number, (_, item) in enumerate(keys))
    return torch.stack([crops[key].picture for key in turns]).float() / 255


def make_loader(
    crops: Crops, sampler: StepSampler, workers: int, pin_memory: bool = False
) -> DataLoader[Sample]:
    """Batches in the order of the sampler, read by ``workers`` processes (0: this one)."""
    return DataLoader(
        crops,
        batch_sampler=sampler,
        num_workers=workers,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
    )


def _start_worker(worker: int) -> None:
    # OpenCV's threads do not survive a fork: a call that needs them would wait for ever.
    del worker
    cv2.setNumThreads(0)
