"""Segmentation: pictures in, a class for every pixel out."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic_gateway.errors import DecodeError
from tactic_gateway.task.base import Answer, Task
from tactic_gateway.task.png import palette_png


@dataclass(frozen=True, slots=True)
class ClassShare:
    """One class; ``share`` is that of the pixels that have it, 0 … 1."""

    label: str
    index: int
    share: float


@dataclass(frozen=True, slots=True)
class Segmentation(Answer):
    """Classes of a picture's pixels.

    Attributes
    ----------
    classes : tuple of ClassShare
        Those that occur, largest first.
    mask_png : bytes
        A PNG file as large as the picture, whose values are the classes' indices.
    """

    classes: tuple[ClassShare, ...]
    mask_png: bytes

    def fields(self) -> dict[str, object]:
        """``classes``: label, index and share of each; ``mask_png``: the file in base64."""
        return {
            "classes": [
                {"label": c.label, "index": c.index, "share": round(c.share, 6)}
                for c in self.classes
            ],
            "mask_png": base64.b64encode(self.mask_png).decode("ascii"),
        }


class Segmenter(Task):
    """A head whose network gives the classes of all pixels, uint8 (N, H, W)."""

    def classes(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Class of every pixel, uint8 (N, H, W)."""
        masks = self._network.run(pictures)
        if masks.dtype != np.uint8 or masks.shape != pictures.shape[:3]:
            found = f"{masks.dtype} {masks.shape} for pictures {pictures.shape}"
            raise DecodeError("model", f"head {self.name} gives {found}")
        if masks.max() >= len(self.labels):
            found = f"class {masks.max()} of {len(self.labels)} labels"
            raise DecodeError("model", f"head {self.name} gives {found}")
        return masks

    def answers(self, pictures: NDArray[np.uint8]) -> Sequence[Segmentation]:
        """Mask of each picture, and what share of it each class has."""
        return [self._answer(mask) for mask in self.classes(pictures)]

    def _answer(self, mask: NDArray[np.uint8]) -> Segmentation:
        counts = np.bincount(mask.ravel(), minlength=len(self.labels))
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        shares = (ClassShare(self.labels[i], i, float(counts[i] / mask.size)) for i in order)
        return Segmentation(tuple(shares), palette_png(mask, len(self.labels)))
