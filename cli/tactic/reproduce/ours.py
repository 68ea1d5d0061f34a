"""Cells that train our codec: for all its rate levels, for one, or shorter and without a part."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

from tactic.reproduce.cell import Json, Place
from tactic.reproduce.codecs import Codec
from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.heads import CleanHead
from tactic.reproduce.preset import DRAWN, JOINT, Ours
from tactic_train import checkpoint
from tactic_train.config import Arch, Model, Stage, TrainConfig

ARCH: Arch = "lapped"


@dataclass(frozen=True, slots=True)
class Without:
    """What is otherwise in a training without a part."""

    stages: Json = field(default_factory=dict)
    """Of the stages that the head teaches."""
    arch: Arch = ARCH


PARTS = {
    "overlap": Without(arch="block"),
    "task": Without({"alpha": 0.0, "features": 0.0, "task": "teacher"}),
    "teacher": Without({"features": 0.0, "task": "labels"}),
    "maps": Without({"features": 0.0}),
    "rounding": Without({"rounding": "noise"}),
    "tail": Without({"tail_drop": 0.0}),
}


class OurCodec(Codec):
    """Ours: one encoder, several rate levels, taught by the clean head, which stays as it is."""

    clean: CleanHead
    ours: Ours
    start: Path | None
    """A run or bundle to begin with instead of the first stages; counts by its content."""

    @property
    def name(self) -> str:
        """``codec-ours-s1``, ``codec-ours-started-s1``."""
        return f"codec-{self._kind}-s{self.seed}"

    @property
    def _kind(self) -> str:
        return "ours-started" if self.start else "ours"

    @property
    def levels(self) -> int:
        """Of the preset."""
        return self.ours.levels

    @property
    def rate_weight(self) -> float:
        """β at the finest level, in the end."""
        return self.ours.taught[-1].beta

    @property
    def least_part(self) -> float:
        """Of the preset."""
        return self.ours.least_part

    def images(self) -> dict[str, int]:
        """Drawn, then taught."""
        taught = sum(stage.steps for stage in self._taught) * self.ours.batch
        drawn = sum(stage.steps for stage in self.ours.begin) * self.ours.batch
        return {JOINT: taught, DRAWN: 0 if self.start else drawn}

    def configuration(self) -> Json:
        """The start by its content; stages that are left out do not count."""
        found = super().configuration()
        if self.start:
            found["start"] = _content(self.start)
            del found["ours"]["begin"]
        return found

    def plan(self, place: Place) -> TrainConfig:
        """With rate levels and labels."""
        ours = self.ours
        model = Model(arch=self._arch, channels=ours.channels, levels=ours.levels, step=ours.step)
        stages = self._taught if self.start else ours.begin + self._taught
        head = self.clean.weights(place)
        return self._config(place, model, stages, ours.batch, self.start, head)

    @property
    def _arch(self) -> Arch:
        return ARCH

    @property
    def _taught(self) -> tuple[Stage, ...]:
        return self.ours.taught


class OneLevel(OurCodec):
    """Ours from the same start, but for one rate level, and whole streams only."""

    level: int
    share: float
    """Of the steps of the codec for all levels, of which each level has its part."""

    @property
    def _kind(self) -> str:
        return f"{super()._kind}-only{self.level}"

    @property
    def _taught(self) -> tuple[Stage, ...]:
        return tuple(
            stage.model_copy(
                update={
                    "steps": math.ceil(self.share * stage.steps),
                    "level": self.level,
                    "tail_drop": 0.0,
                }
            )
            for stage in self.ours.taught
        )


class Shorter(OurCodec):
    """Ours, taught for a share of the steps, and without one part or none."""

    without: str | None
    """Of ``PARTS``."""
    share: float

    @property
    def _kind(self) -> str:
        return f"{super()._kind}-shorter" + (f"-no-{self.without}" if self.without else "")

    @property
    def _taught(self) -> tuple[Stage, ...]:
        return tuple(
            stage.model_copy(
                update={"steps": math.ceil(self.share * stage.steps), **self._otherwise.stages}
            )
            for stage in self.ours.taught
        )

    @property
    def _arch(self) -> Arch:
        return self._otherwise.arch

    @property
    def _otherwise(self) -> Without:
        return PARTS[self.without] if self.without else Without()


def _content(start: Path) -> str:
    path = checkpoint.start_path(start)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as fault:
        raise ReproduceError(
            f"{path}: {fault.strerror}; name a bundle or the folder of a run with --start"
        ) from fault
