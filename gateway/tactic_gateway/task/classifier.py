"""Classification: pictures in, class scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic_codec.bundle import Bundle
from tactic_codec.manifest import Head
from tactic_gateway.errors import DecodeError
from tactic_gateway.task.base import Answer, Task


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class; ``score`` is its probability, 0 … 1."""

    label: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Classification(Answer):
    """Classes of a picture, best first."""

    classes: tuple[ClassScore, ...]

    def fields(self) -> dict[str, object]:
        """``classes``: label, index and score of each."""
        return {
            "classes": [
                {"label": c.label, "index": c.index, "score": round(c.score, 6)}
                for c in self.classes
            ]
        }


class Classifier(Task):
    """A head whose network gives scores (N, classes) that add up to one.

    Parameters
    ----------
    bundle, head, threads
        See :class:`Task`.
    top : int
        Number of classes in an answer.
    """

    def __init__(self, bundle: Bundle, head: Head, threads: int, top: int) -> None:
        super().__init__(bundle, head, threads)
        self._top = min(top, len(self.labels))

    def classes(self, pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Best class of every picture, int64 (N,)."""
        best: NDArray[np.int64] = self._scores(pictures).argmax(axis=1)
        return best

    def answers(self, pictures: NDArray[np.uint8]) -> Sequence[Classification]:
        """Best classes of each picture."""
        return [self._best(row) for row in self._scores(pictures)]

    def _scores(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores = self._network.run(pictures)
        if scores.shape != (len(pictures), len(self.labels)) or not np.isfinite(scores).all():
            found = f"scores of shape {scores.shape} for {len(self.labels)} labels"
            raise DecodeError("model", f"head {self.name} gives {found}, or not finite ones")
        return scores

    def _best(self, scores: NDArray[np.float32]) -> Classification:
        order = np.argsort(-scores, kind="stable")[: self._top]
        return Classification(
            tuple(ClassScore(self.labels[i], int(i), float(scores[i])) for i in order)
        )
