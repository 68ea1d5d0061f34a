"""Batches as a pure function of (seed, step): what makes resuming and several processes exact."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from tactic_train.data import Item, decode_image


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Keys ``(step, item)`` of every batch from ``start`` to ``stop``; each epoch is a permutation.

    Parameters
    ----------
    items : int
    batch : int
        Images of one step over all processes.
    seed, start, stop : int
    """

    def __init__(self, items: int, batch: int, seed: int, start: int, stop: int) -> None:
        self.items = items
        self.batch = batch
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
            yield keys


class Crops(Dataset[tuple[Tensor, int]]):
    """Random square crops, decoded once and kept.

    Items are keyed ``(step, item)``; the crop depends on (seed, step, item) only.
    """

    def __init__(self, items: tuple[Item, ...], crop_px: int, seed: int) -> None:
        self.items = items
        self.crop_px = crop_px
        self.seed = seed
        self._pictures: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        step, index = key
        rng = np.random.default_rng((self.seed, step, index))
        crop = random_crop(self._picture(index), self.crop_px, rng)
        picture = torch.from_numpy(crop).permute(2, 0, 1)
        return picture, self.items[index].label

    def _picture(self, index: int) -> NDArray[np.uint8]:
        if index not in self._pictures:
            item = self.items[index]
            self._pictures[index] = decode_image(item.read(), item.name)
        return self._pictures[index]


def random_crop(
    picture: NDArray[np.uint8], side_px: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A square crop scaled to ``side_px`` and flipped by chance; uint8 (side, side, 3).

    Of a large picture the crop has between ``side_px`` and the whole shorter side, of a small one
    between three quarters and the whole of it: the codec meets several scales, mostly sharp.
    """
    shorter = min(picture.shape[:2])
    smallest = min(side_px, shorter * 3 // 4)
    size = int(rng.integers(smallest, shorter, endpoint=True))
    top = int(rng.integers(0, picture.shape[0] - size, endpoint=True))
    left = int(rng.integers(0, picture.shape[1] - size, endpoint=True))
    crop = picture[top : top + size, left : left + size]
    if size != side_px:
        how = cv2.INTER_AREA if size > side_px else cv2.INTER_LINEAR
        crop = np.asarray(cv2.resize(crop, (side_px, side_px), interpolation=how), np.uint8)
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)
