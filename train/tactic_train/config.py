"""The configuration of a training run, as typed models read from TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tactic_codec.config import Section
from tactic_train.windows import LEAST_PART

#: the level field of a packet has three bits
MOST_LEVELS = 8

Arch = Literal["paper", "lapped", "block"]


class Model(Section):
    """The codec network."""

    arch: Arch = "lapped"
    channels: int = Field(default=64, ge=1, le=256)
    """Channels of the latent."""
    step: float = Field(default=0.4, gt=0)
    """Quantisation step at the start, in units of an orthonormal coefficient of pixels in [0, 1];
    0.4 gives some 0.35 bits per pixel. Not used by ``paper``."""
    levels: int = Field(default=1, ge=1, le=MOST_LEVELS)
    """Rate levels; the quantisation steps of each are about √3 times those of the one before."""


class HeadConfig(Section):
    """The task network."""

    name: str = "efficientnet_lite0"
    classes: int = Field(default=1000, ge=2)
    """1000: those of ImageNet; any other number: a new last layer for the data's own classes."""
    weights: Path | None = None
    """A state dictionary to start from (``.safetensors`` or ``.pt``), relative to the working
    folder; none: as published."""
    input_px: int | None = Field(default=None, ge=32)
    """Side of the square that a head which classifies gets to see on the gateway; none: what it was
    published for."""


class Data(Section):
    """Where the images come from."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """``imagefolder:PATH``, ``unlabelled:PATH``, or with masks ``camvid:PATH``,
    ``cityscapes:PATH``; PATH is a folder or a zip, relative to the working folder;
    ``$TACTIC_DATA`` is expanded."""
    crop_px: int = Field(default=128, ge=32, multiple_of=32)
    """Side of a training crop."""
    least_part: float = Field(default=LEAST_PART, gt=0, le=1)
    """Share of the side of a picture, no larger than a crop, that a crop shows at least, enlarged.
    What was enlarged is smoother than what the codec will be sent; 1 leaves such pictures whole."""


class Stage(Section):
    """One part of the schedule; the learning rate decays within it along a cosine."""

    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(default=1e-5, ge=0)
    distortion: float = Field(ge=0)
    """Scale of L_D, which is a mean squared error in [0, 1]."""
    alpha: float = Field(default=0.0, ge=0)
    """Weight of the task loss L_T; 0: the head is not run."""
    beta: float = Field(ge=0)
    """Weight of the rate L_R in bits per pixel, at the finest level; each level weighs it three
    times as much as the one before, as distortion grows with the square of the step."""
    features: float = Field(default=0.0, ge=0)
    """Weight of the head's inner maps within L_T."""
    gamma: float = Field(default=0.5, ge=0, le=1)
    """Share of the weighted cross-entropy in L_T where the labels are masks, the rest being soft
    Dice, eq. 10."""
    task: Literal["labels", "teacher", "both"] = "teacher"
    """Where L_T comes from; ``teacher`` is the head, as it was before training, on the uncompressed
    image."""
    head: Literal["frozen", "tuned", "alone"] = "frozen"
    """``alone``: tuned on the uncompressed crops while the codec rests, so that a head without
    weights of its own learns its classes before it teaches."""
    rounding: Literal["noise", "straight-through"] = "noise"
    """What stands for rounding on the way to the decoder; the rate always sees noise."""
    tail_drop: float = Field(default=0.0, ge=0, le=1)
    """Share of images of which only the first channels are refined, the last stay two levels
    coarser or, of the coarsest levels, are not sent: any prefix of a stream then decodes."""
    level: int | None = Field(default=None, ge=0)
    """Train this rate level alone; all of them in turn by default."""
    encoder: Literal["float", "int8", "fixed"] = "float"
    """``int8``: weights and activations of the encoder on the int8 grid, so that quantising it
    afterwards costs nothing (quantisation-aware training). ``fixed``: its weights are rounded to
    int8 when the stage begins and stay as they are, so that decoder and head fit what the node will
    really send."""
    head_px: tuple[Annotated[int, Field(ge=32)], ...] = ()
    """Sides at which the head sees the crop, taken in turn, one a step; none: as on the gateway. A
    head that segments sees the crop as it is."""

    @model_validator(mode="after")
    def _alone_means_alone(self) -> Stage:
        codec_rests = self.distortion == self.beta == 0
        if self.head == "alone" and not (self.alpha and self.task == "labels" and codec_rests):
            raise ValueError(
                'a stage with head = "alone" needs alpha above 0, task = "labels", '
                "distortion = 0 and beta = 0"
            )
        return self

    @property
    def needs_labels(self) -> bool:
        """Whether L_T asks for the classes of the images."""
        return self.alpha > 0 and self.task != "teacher"

    @property
    def needs_teacher(self) -> bool:
        """Whether L_T asks for the head on the uncompressed images."""
        return self.alpha > 0 and self.task != "labels"


class TrainConfig(Section):
    """``train.toml``."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    seed: int = Field(default=0, ge=0)
    batch: int = Field(default=16, ge=1)
    """Images a step over all processes."""
    workers: int = Field(default=0, ge=0)
    """Processes that read and crop images, for each training process; 0: none of their own."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between two checkpoints."""
    start: Path | None = None
    """A run's folder, a checkpoint or a bundle whose codec to begin with; relative to the working
    folder."""
    model: Model = Model()
    head: HeadConfig = HeadConfig()
    data: Data
    stage: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _levels_exist(self) -> TrainConfig:
        for stage in self.stage:
            if stage.level is not None and stage.level >= self.model.levels:
                raise ValueError(
                    f"a stage with level = {stage.level} needs model.levels above it, "
                    f"not {self.model.levels}"
                )
        return self

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stage)

    @property
    def tunes_head(self) -> bool:
        """Whether any stage trains the head."""
        return any(stage.alpha > 0 and stage.head != "frozen" for stage in self.stage)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """Find the stage of a step (counted from 0) and the step within it."""
        for stage in self.stage:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError("step beyond the last stage")
