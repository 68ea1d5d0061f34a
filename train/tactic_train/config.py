"""The configuration of a training run, as typed models read from TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Strict):
    """The codec network."""

    arch: Literal["paper", "strided"] = "strided"
    channels: int = Field(64, ge=1, le=256)
    """Channels of the latent."""


class HeadConfig(_Strict):
    """The task network."""

    name: str = "efficientnet_lite0"
    classes: int = Field(1000, ge=2)
    """Only for heads that have no published classes of their own."""
    weights: Path | None = None
    """A state dictionary to start from (``.safetensors`` or ``.pt``); none: as published."""


class Data(_Strict):
    """Where the images come from."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """``imagefolder:PATH`` or ``unlabelled:PATH``; PATH is a folder or a zip, relative to the
    working folder; ``$TACTIC_DATA`` is expanded."""
    crop_px: int = Field(128, ge=32)
    """Side of a training crop; a multiple of 32."""


class Stage(_Strict):
    """One part of the schedule; the learning rate decays within it along a cosine."""

    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(1e-5, ge=0)
    distortion: float = Field(ge=0)
    """Scale of L_D, which is a mean squared error in [0, 1]."""
    alpha: float = Field(0.0, ge=0)
    """Weight of the task loss L_T; 0: the head is not run."""
    beta: float = Field(ge=0)
    """Weight of the rate L_R in bits per pixel."""
    features: float = Field(0.0, ge=0)
    """Weight of the head's inner maps within L_T."""
    task: Literal["labels", "teacher", "both"] = "teacher"
    """Where L_T comes from; ``teacher`` is the same head on the uncompressed image."""
    head: Literal["frozen", "tuned"] = "frozen"
    rounding: Literal["noise", "straight-through"] = "noise"
    """What stands for rounding on the way to the decoder; the rate always sees noise."""
    head_px: Annotated[tuple[int, ...], Field(min_length=1)] = (224,)
    """Sides at which the head sees the crop, taken in turn, one a step."""


class TrainConfig(_Strict):
    """``train.toml``."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    seed: int = 0
    batch: int = Field(16, ge=1)
    """Images a step over all processes."""
    workers: int = Field(0, ge=0)
    checkpoint_every: int = Field(500, ge=1)
    model: Model = Model()
    head: HeadConfig = HeadConfig()
    data: Data
    stage: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stage)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """The stage of a step (counted from 0) and the step within it."""
        for stage in self.stage:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError("step beyond the last stage")
