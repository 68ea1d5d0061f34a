"""A cell: one method at one rate with one seed, named by a digest of its whole configuration.

The fields of a cell are that configuration. A field that is a cell is what it builds on, and counts
by its own digest, so whatever changes below changes every name above.
"""

from __future__ import annotations

import functools
import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from tactic.reproduce.gallery import Gallery, Photos
from tactic_codec.config import Section

#: part of every digest; raised where the same numbers come to mean something else
PROTOCOL = 1

Json = dict[str, Any]
#: pixels by photo and class
Areas = tuple[tuple[int, ...], ...]


class Place(Protocol):
    """What a cell is given to work with."""

    def folder(self, cell: Cell) -> Path:
        """Where a cell keeps weights and checkpoints."""

    def source(self, photos: Photos) -> str:
        """Photos as a data source of ``tactic train``."""

    def gallery(self, photos: Photos) -> Gallery:
        """Photos in memory, opened once."""

    def say(self, line: str) -> None:
        """One line of progress."""

    @property
    def device(self) -> str:
        """``cuda`` or ``cpu``."""


class Cell(Section, ABC):
    """What can be done once and then looked up.

    Attributes
    ----------
    seed : int
        Of weights, order, crops and flips.
    files : tuple of str
        What cells that build on this one find in its folder.
    """

    files: ClassVar[tuple[str, ...]] = ()
    seed: int

    @property
    @abstractmethod
    def name(self) -> str:
        """What ``--cell`` is given: method, rate and seed."""

    @abstractmethod
    def images(self) -> dict[str, int]:
        """Images that go through it, by what is done to them; see ``Preset.images_per_s``."""

    @abstractmethod
    def run(self, place: Place) -> Figures:
        """Do it; what it builds on is done."""

    def is_whole(self, place: Place) -> bool:
        """Whether its folder has what cells that build on it need."""
        return all((place.folder(self) / name).exists() for name in self.files)

    def bases(self) -> tuple[Cell, ...]:
        """The cells it builds on."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value for value in values if isinstance(value, Cell))

    def configuration(self) -> Json:
        """Everything that its result depends on, as JSON values."""
        found: Json = {"kind": type(self).__name__, "protocol": PROTOCOL}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Cell):
                found[name] = {"cell": value.name, "digest": value.digest}
            elif isinstance(value, BaseModel):
                found[name] = value.model_dump(mode="json")
            else:
                found[name] = value
        return found

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name the configuration."""
        return _sha256(json.dumps(self.configuration(), sort_keys=True))[:12]

    @property
    def key(self) -> str:
        """Name and digest: of its result and of its folder."""
        return f"{self.name}-{self.digest}"


class Part(BaseModel):
    """What one network costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: int
    macs_per_pixel: float
    ms: float


class Figures(BaseModel):
    """What came out; all of it is None where nothing was judged.

    Attributes
    ----------
    right : str or None
        A digit for each test photo, 1 where the head's first class is the right one.
    bytes, bytes_stripped, bytes_standard : tuple of int or None
        For each test photo: the whole file or packet; without the fixed header; a JPEG with
        the standard's Huffman tables.
    bits_per_pixel : float or None
        Of the whole files or packets.
    bits_per_pixel_density : float or None
        −log₂ of the fitted density, the paper's measure.
    psnr_db : float or None
        Of the mean squared error over all test photos.
    hits, truth, answered : tuple of tuple of int, or None
        For each test photo and class of pixels: those answered rightly, those of the class, and
        those taken for it; void pixels count nowhere.
    parts : dict or None
        Costs of networks by their names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    right: str | None = None
    bytes: tuple[int, ...] | None = None
    bytes_stripped: tuple[int, ...] | None = None
    bytes_standard: tuple[int, ...] | None = None
    bits_per_pixel: float | None = None
    bits_per_pixel_density: float | None = None
    psnr_db: float | None = None
    hits: Areas | None = None
    truth: Areas | None = None
    answered: Areas | None = None
    parts: dict[str, Part] | None = None

    @property
    def accuracy(self) -> float:
        """Share of the test photos that are right, or of their pixels."""
        if self.right:
            return self.right.count("1") / len(self.right)
        assert self.hits and self.truth
        return sum(map(sum, self.hits)) / sum(map(sum, self.truth))


class Result(BaseModel):
    """The file of a cell that is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: str
    digest: str
    configuration: Json
    figures: Figures
    wall_s: float
    """Of the start that finished it."""
    resumed: bool
    """Whether an earlier start had left a checkpoint."""
    device: str
    machine: str
    commit: str | None = None
    date: str

    def as_json(self) -> str:
        """What the file holds, on one line; without what is not known."""
        return self.model_dump_json(exclude_none=True)


@functools.lru_cache(maxsize=4096)
def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
