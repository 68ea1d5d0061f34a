"""What a preset holds: all numbers of the experiments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from tactic.reproduce.gallery import Photos
from tactic_codec.config import Section
from tactic_train.config import Stage
from tactic_train.tune import Tuning
from tactic_train.windows import LEAST_PART

#: what images are counted by, see ``Preset.images_per_s``
DRAWN, JOINT, TUNED, ANSWERED, CODED = "drawn", "joint", "tuned", "answered", "coded"


class HeadChoice(Section):
    """The task network, before it is tuned to the photos' classes."""

    name: str
    weights: str | None = None
    """A state dictionary of other classes to begin with; environment variables are expanded."""
    published_rows: bool = False
    """The last layer begins with its published rows of these classes, not with random ones."""


class Training(Section):
    """How long and how fast the paper's codec is trained, in one of its two stages."""

    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(ge=0)
    crop_px: int | None = None
    """Side of the crops that are drawn; whole photos by default, as a head needs them."""


class Ours(Section):
    """How our codec is trained for ``beyond``, ``fig2``, ``levels`` and ``parts``."""

    channels: int
    levels: int
    step: float
    batch: int
    begin: tuple[Stage, ...]
    """Left out where ``--start`` gives trained weights."""
    taught: tuple[Stage, ...]
    """With the clean head, which stays as it is and teaches."""
    least_part: float = LEAST_PART
    """Of small photos, see ``tactic_train.config.Data``."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Digests of cells that were run before there was a choice stay what they were."""
        found: dict[str, Any] = handler(self)
        if self.least_part == LEAST_PART:
            found.pop("least_part", None)
        return found


class Roads(Section):
    """What ``table3`` has instead of the preset's own: road scenes, a head that segments."""

    photos: Photos
    head: HeadChoice
    clean: Tuning
    tune: Tuning
    draw: Training
    train: Training
    table_crops: int
    gammas: tuple[float, ...] = (1.0, 0.0, 0.5)
    """Shares of the weighted cross-entropy in the loss of masks, the rest is Dice (eq. 10)."""
    images_per_s: Mapping[str, float]


class Preset(Section):
    """All numbers of the experiments; every one of them counts in the digests of the cells."""

    name: str
    photos: Photos
    head: HeadChoice
    seeds: tuple[int, ...]
    workers: int
    """Processes that read and crop photos for the training of codecs."""
    clean: Tuning
    """Of the head on uncompressed photos, from its published weights."""
    tune: Tuning
    """Of that head on what a codec decoded: the same for every codec."""
    channels: int
    draw: Training
    """Learning to draw, before anything else."""
    drawn_beta: float = 1 / 1024
    train: Training
    """Then distortion and rate, with the task or without."""
    table_crops: int
    """Training photos that entropy models are fitted on."""
    jpeg_qualities: tuple[int, ...] = (2, 5, 10, 15, 25, 50)
    betas: tuple[float, ...] = (4.0, 2.0, 1.0, 1 / 32, 1 / 128)
    limited_beta: float = 1 / 32
    """The rate-limited point of ``table2``; the other is β = 0. At larger ones a codec that knows
    no task gives up drawing: a bit costs more than it saves in L_D."""
    rivals: Mapping[str, tuple[tuple[int, float], ...]]
    """Codec → qualities, each with a size relative to the photo's sides, for ``beyond``."""
    ours: Ours
    shares: tuple[float, ...] = (0.75, 0.5)
    """Of the bytes of each of our packets that has layers to leave off, each with its head."""
    one_level_share: float = 1.0
    """Steps of a codec for one rate level in ``levels``, relative to that for all of them."""
    parts_share: float = 1.0
    """Of the steps with the head, in ``parts``."""
    roads: Roads
    images_per_s: Mapping[str, float]
    """Rough speed of training a codec (``drawn``), codec and head (``joint``) and a head
    (``tuned``), of a head's answers (``answered``) and of coding (``coded``); it only makes the
    estimates of ``--list``."""

    def on_roads(self) -> Preset:
        """The preset of ``table3``."""
        roads = {name: getattr(self.roads, name) for name in Roads.model_fields}
        del roads["gammas"]
        return self.model_copy(update=roads)
