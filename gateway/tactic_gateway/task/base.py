"""What every task has in common: pictures in, answers out, a result that applications read."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.manifest import Head
from tactic_codec.types import FrameKey
from tactic_gateway.models import Model


class Answer(ABC):
    """What a head says about one picture."""

    @abstractmethod
    def fields(self) -> dict[str, object]:
        """Its part of the result, as JSON has it."""


class Task(ABC):
    """One head of a bundle; several threads may use it at once.

    Parameters
    ----------
    bundle : Bundle
    head : Head
        One of ``bundle.manifest.heads``.
    threads : int
        Threads that one call may use.

    Attributes
    ----------
    name, task : str
    labels : list of str
        Class names in the order of their indices.
    """

    def __init__(self, bundle: Bundle, head: Head, threads: int) -> None:
        self.name = head.name
        self.task = head.task
        self.labels = bundle.read(head.labels).decode("utf-8").splitlines()
        self._model = Model(bundle, head.model, threads)
        if not self.labels:
            raise BundleError(f"{bundle.path}: {head.labels.path} is empty; export it again")

    @abstractmethod
    def classes(self, pictures: NDArray[np.uint8]) -> NDArray[np.integer[Any]]:
        """Class of every picture (N,), or of every pixel (N, H, W).

        Parameters
        ----------
        pictures : uint8 array (N, H, W, 3)

        Raises
        ------
        DecodeError
            ``model``: the network fails, or what it gives does not fit the labels.
        """

    @abstractmethod
    def answers(self, pictures: NDArray[np.uint8]) -> Sequence[Answer]:
        """Answer for each picture; parameters and errors are those of ``classes``."""


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
    answer : Answer
    """

    key: FrameKey
    task: str
    head: str
    captured_unix_ns: int | None
    wire_bytes: int
    latency_ms: float
    answer: Answer

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
            **self.answer.fields(),
        }
        return json.dumps(body, separators=(",", ":"))
