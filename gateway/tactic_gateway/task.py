"""The task: pictures in, class scores out, as the result that applications read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.manifest import Head
from tactic_codec.types import FrameKey
from tactic_gateway.errors import DecodeError
from tactic_gateway.models import Model


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class of a classification; ``score`` is its probability, 0 … 1."""

    label: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Result:
    """What one head says about one frame; unique per (key, head).

    Attributes
    ----------
    key : FrameKey
    task, head : str
    captured_unix_ns : int or None
        When the picture was taken; None unless the clock of the node was synchronised.
    wire_bytes : int
        Bytes of all packets of the frame, headers included.
    latency_ms : float
        From the reception of the frame to the result.
    classes : tuple of ClassScore
        Best first.
    """

    key: FrameKey
    task: str
    head: str
    captured_unix_ns: int | None
    wire_bytes: int
    latency_ms: float
    classes: tuple[ClassScore, ...]

    def to_json(self) -> str:
        """One JSON object, as published and stored."""
        body = {
            "node": self.key.node,
            "boot": self.key.boot,
            "seq": self.key.seq,
            "task": self.task,
            "head": self.head,
            "captured_unix_ns": self.captured_unix_ns,
            "wire_bytes": self.wire_bytes,
            "latency_ms": round(self.latency_ms, 3),
            "classes": [{**asdict(c), "score": round(c.score, 6)} for c in self.classes],
        }
        return json.dumps(body, separators=(",", ":"))


class Classifier:
    """One head of a bundle.

    Parameters
    ----------
    bundle : Bundle
    head : Head
        One of ``bundle.manifest.heads``.
    threads : int
        Threads that one call may use.
    top : int
        Number of classes in a result.
    """

    def __init__(self, bundle: Bundle, head: Head, threads: int, top: int) -> None:
        self.name = head.name
        self.task = head.task
        self._labels = bundle.file(head.labels).read_text(encoding="utf-8").splitlines()
        self._model = Model(bundle.file(head.model), threads)
        self._top = min(top, len(self._labels))
        if not self._labels:
            raise BundleError(f"{bundle.path}: {head.labels.path} is empty; export it again")

    def classify(self, pictures: NDArray[np.uint8]) -> list[tuple[ClassScore, ...]]:
        """Best classes of each picture.

        Parameters
        ----------
        pictures : uint8 array (N, H, W, 3)

        Raises
        ------
        DecodeError
            ``model``: the network fails, or its scores do not fit the labels.
        """
        scores = self._model.run(pictures)
        if scores.shape != (len(pictures), len(self._labels)) or not np.isfinite(scores).all():
            found = f"scores of shape {scores.shape} for {len(self._labels)} labels"
            raise DecodeError("model", f"head {self.name} gives {found}, or not finite ones")
        return [self._best(row) for row in scores]

    def _best(self, scores: NDArray[np.float32]) -> tuple[ClassScore, ...]:
        order = np.argsort(-scores, kind="stable")[: self._top]
        return tuple(ClassScore(self._labels[i], int(i), float(scores[i])) for i in order)
