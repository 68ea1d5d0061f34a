"""What every task has in common: pictures in, answers out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.manifest import Head
from tactic_gateway.models import Model
from tactic_gateway.results import model_of


class Answer(ABC):
    """What a head says about one picture."""

    @abstractmethod
    def fields(self) -> dict[str, object]:
        """Its part of the result, as JSON has it."""


class Task(ABC):
    """One head of a bundle.

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
    model : str
        See `model_of`.
    labels : list of str
        Class names in the order of their indices.
    """

    def __init__(self, bundle: Bundle, head: Head, threads: int) -> None:
        self.name = head.name
        self.task = head.task
        self.model = model_of(head)
        self.labels = bundle.read(head.labels).decode("utf-8").splitlines()
        self._network = Model(bundle, head.model, threads)
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
