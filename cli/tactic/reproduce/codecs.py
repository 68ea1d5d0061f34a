"""Cells that train a codec, and the paper's: for distortion, without the task, or with it."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from tactic.reproduce.cell import Cell, Figures, Json, Place
from tactic.reproduce.gallery import Photos
from tactic.reproduce.heads import CleanHead
from tactic.reproduce.preset import DRAWN, JOINT, HeadChoice, Training
from tactic_train import checkpoint
from tactic_train.config import Data, HeadConfig, Model, Stage, TrainConfig
from tactic_train.loop import build, train
from tactic_train.step import System
from tactic_train.windows import LEAST_PART

_SAVED_EVERY = 200


class Codec(Cell):
    """A codec in training; its folder is that of a run of ``tactic train``."""

    files: ClassVar[tuple[str, ...]] = (checkpoint.NAME,)
    photos: Photos
    head: HeadChoice
    workers: int

    @abstractmethod
    def plan(self, place: Place) -> TrainConfig:
        """The training's configuration."""

    @property
    def crop_px(self) -> int | None:
        """Side of its crops; None: whole photos."""
        return None

    @property
    def least_part(self) -> float:
        """Share of a small photo that a crop shows at least."""
        return LEAST_PART

    @property
    def label(self) -> str:
        """Method and rate, without the seed."""
        return self.name.removeprefix("codec-").rpartition("-s")[0]

    @property
    @abstractmethod
    def levels(self) -> int:
        """Rate levels."""

    @property
    @abstractmethod
    def rate_weight(self) -> float:
        """β; where it is 0, the density was never fitted."""

    def run(self, place: Place) -> Figures:
        """Train, or go on."""
        train(self.plan(place), place.folder(self))
        return Figures()

    def is_whole(self, place: Place) -> bool:
        """A checkpoint alone may be of a training that was stopped."""
        path = place.folder(self) / checkpoint.NAME
        return path.exists() and checkpoint.read(path)["step"] == self.plan(place).steps

    def load(self, place: Place) -> System:
        """Codec, density and, where it was trained with them, head."""
        system = build(self.plan(place))
        checkpoint.load_weights(system, checkpoint.read(place.folder(self) / checkpoint.NAME))
        return system.eval().to(place.device)

    def configuration(self) -> Json:
        """How many processes read photos changes nothing."""
        found = super().configuration()
        del found["workers"]
        return found

    def _config(
        self,
        place: Place,
        model: Model,
        stages: tuple[Stage, ...],
        batch: int,
        start: Path | None,
        head: Path | None,
    ) -> TrainConfig:
        return TrainConfig(
            name=self.name.replace(".", "_"),
            seed=self.seed,
            batch=batch,
            workers=self.workers,
            checkpoint_every=_SAVED_EVERY,
            start=start,
            model=model,
            head=HeadConfig(name=self.head.name, classes=self.photos.classes, weights=head),
            data=Data(
                sources=(place.source(self.photos),),
                crop_px=self.crop_px or self.photos.side_px,
                least_part=self.least_part,
            ),
            stage=stages,
        )


class Drawn(Codec):
    """The paper's codec, learning to draw; what agnostic and aware ones begin with.

    Its rate has a small weight. Without any, latents grow to the ends of int8, from where a codec
    with a limit would have a long way back.
    """

    channels: int
    draw: Training
    beta: float
    levels: ClassVar[int] = 1

    @property
    def rate_weight(self) -> float:
        """β."""
        return self.beta

    @property
    def name(self) -> str:
        """``codec-drawn-s1``."""
        return f"codec-drawn-s{self.seed}"

    @property
    def crop_px(self) -> int | None:
        """Of the preset."""
        return self.draw.crop_px

    def images(self) -> dict[str, int]:
        """Drawn; small crops count by their share of the pixels."""
        share = ((self.crop_px or self.photos.side_px) / self.photos.side_px) ** 2
        return {DRAWN: round(share * self.draw.steps * self.draw.batch)}

    def plan(self, place: Place) -> TrainConfig:
        """Without the task."""
        stage = _stage(self.draw, beta=self.beta)
        return self._config(place, self.model, (stage,), self.draw.batch, None, None)

    @property
    def model(self) -> Model:
        """The network."""
        return Model(arch="paper", channels=self.channels)


class Agnostic(Codec):
    """It goes on with distortion and rate: L_D + β·L_R."""

    drawn: Drawn
    beta: float
    train: Training
    levels: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """``codec-agnostic-b1-s1``."""
        return f"codec-agnostic-b{short(self.beta)}-s{self.seed}"

    @property
    def rate_weight(self) -> float:
        """β."""
        return self.beta

    def images(self) -> dict[str, int]:
        """Drawn."""
        return {DRAWN: self.train.steps * self.train.batch}

    def plan(self, place: Place) -> TrainConfig:
        """Without the task."""
        stage = _stage(self.train, beta=self.beta)
        begun = place.folder(self.drawn)
        return self._config(place, self.drawn.model, (stage,), self.train.batch, begun, None)


class Aware(Codec):
    """It goes on with all of eq. 9, jointly with the head: L_D + L_T + β·L_R."""

    drawn: Drawn
    clean: CleanHead
    beta: float
    train: Training
    levels: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """``codec-aware-b1-s1``."""
        return f"codec-aware-b{short(self.beta)}{self.clean.loss}-s{self.seed}"

    @property
    def rate_weight(self) -> float:
        """β."""
        return self.beta

    def images(self) -> dict[str, int]:
        """Codec and head."""
        return {JOINT: self.train.steps * self.train.batch}

    def plan(self, place: Place) -> TrainConfig:
        """With the task, α = 1."""
        stage = _stage(self.train, beta=self.beta).model_copy(
            update={
                "alpha": 1.0,
                "task": "labels",
                "head": "tuned",
                "head_px": (self.clean.clean.head_px,),
            }
        )
        if self.clean.gamma is not None:
            stage = stage.model_copy(update={"gamma": self.clean.gamma})
        begun, head = place.folder(self.drawn), self.clean.weights(place)
        return self._config(place, self.drawn.model, (stage,), self.train.batch, begun, head)


def short(beta: float) -> str:
    """β as it stands in names: 0, 4, 1_32."""
    return f"{beta:g}" if beta >= 1 or not beta else f"1_{round(1 / beta)}"


def _stage(training: Training, beta: float) -> Stage:
    return Stage(
        steps=training.steps,
        learning_rate=training.learning_rate,
        final_learning_rate=training.final_learning_rate,
        distortion=1.0,
        beta=beta,
    )
