"""The training loop: every step a function of the configuration and the step's number."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from tactic_train import losses as terms
from tactic_train.batches import (
    CACHE_BYTES,
    Crops,
    Draw,
    Sample,
    StepSampler,
    draw,
    make_loader,
    some_crops,
)
from tactic_train.checkpoint import save
from tactic_train.config import Stage, TrainConfig
from tactic_train.errors import TrainError
from tactic_train.photos import Photos
from tactic_train.report import LOG_EVERY, Report
from tactic_train.rounding import fix_encoder
from tactic_train.step import Losses, System

WARM_UP_STEPS = 100


def learning_rate(stage: Stage, step: int) -> float:
    """Follow a cosine from ``learning_rate`` to ``final_learning_rate``, after a short rise."""
    share = (1 + math.cos(math.pi * step / stage.steps)) / 2
    rate = stage.final_learning_rate + share * (stage.learning_rate - stage.final_learning_rate)
    return rate * min(1.0, (step + 1) / WARM_UP_STEPS)


class Steps:
    """Steps of a run from any of them on: the same losses and weights, however often it stopped."""

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        *,
        accelerator: Accelerator,
        system: System,
        model: torch.nn.Module,
        optimiser: torch.optim.Optimizer,
        photos: Photos,
    ) -> None:
        self.config = config
        self.out = out
        self.accelerator = accelerator
        self.system = system
        self.model = model
        self.optimiser = optimiser
        self.photos = photos
        share = config.batch // accelerator.num_processes
        first = share * accelerator.process_index
        self.share = slice(first, first + share)
        self.sums = torch.zeros(4, device=accelerator.device)
        self.summed = 0
        self.broken: set[int] = set()
        self.report: Report | None = None

    def go(self, start: int) -> None:
        """Every step from ``start`` to the last."""
        config = self.config
        if start == config.steps:
            return
        data, room_bytes = config.data, CACHE_BYTES // max(1, config.workers)
        crops = Crops(
            self.photos.train, data.crop_px, config.seed, room_bytes, least_part=data.least_part
        )
        sampler = StepSampler(
            len(crops), config.batch, self.share, seed=config.seed, start=start, stop=config.steps
        )
        on_gpu = self.accelerator.device.type == "cuda"
        loader = make_loader(crops, sampler, config.workers, pin_memory=on_gpu)
        if self.accelerator.is_main_process:
            self.report = Report(config, self.out, start, Console())
        try:
            for step, sample in enumerate(loader, start):
                self._after(step + 1, sample, self._step(step, sample))
        finally:
            if self.report:
                self.report.close()

    def _step(self, step: int, sample: Sample) -> Losses:
        stage, within = self.config.stage_at(step)
        self.system.head.requires_grad_(stage.head != "frozen" and self.config.tunes_head)
        self.system.codec.encoder.requires_grad_(stage.encoder != "fixed")
        if within == 0:
            if stage.encoder == "fixed":
                pictures = some_crops(self.photos.train, self.config.data, self.config.seed)
                fix_encoder(self.system.codec, pictures.to(self.accelerator.device))
            # Another loss has gradients of another size, which Adam's memory would blow up.
            self.optimiser.state.clear()
        rate = learning_rate(stage, within)
        for group in self.optimiser.param_groups:
            own = group.get("own_rate")
            share = min(1.0, rate / stage.learning_rate)
            group["lr"] = rate * group["pace"] if own is None else own * share
        picture = self._pictures(sample)
        sides = stage.head_px or (self.system.head.input_px,)
        head_px = sides[step % len(sides)]
        labels = sample.label.to(self.accelerator.device)
        losses: Losses = self.model(picture, labels, self._draw(step, stage), stage, head_px)
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(losses.total)
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        return losses

    def _pictures(self, sample: Sample) -> Tensor:
        picture = sample.picture.to(self.accelerator.device, non_blocking=True).float().div_(255)
        return picture.contiguous(memory_format=torch.channels_last)

    def _draw(self, step: int, stage: Stage) -> Draw:
        side = self.config.data.crop_px // self.system.codec.stride
        model = self.config.model
        shape = (self.config.batch, model.channels, side, side)
        drawn = draw(
            self.config.seed, step, shape, model.levels, stage.tail_drop, alone=stage.level
        )
        return Draw(*(part[self.share].to(self.accelerator.device) for part in drawn))

    def _after(self, done: int, sample: Sample, losses: Losses) -> None:
        self._name_broken(sample)
        self.sums += torch.stack(losses).detach()
        self.summed += 1
        saves = done % self.config.checkpoint_every == 0 or done == self.config.steps
        if done % LOG_EVERY and not saves:
            return
        values = self.accelerator.reduce(self.sums / self.summed, reduction="mean").tolist()
        self.sums.zero_()
        self.summed = 0
        if not all(map(math.isfinite, values)):
            raise TrainError(
                f"the loss is not finite at step {done}: lower learning_rate and give another "
                "--out; what was reached before is there to --start with"
            )
        if self.report:
            self.report.losses(done, values)
            if saves:
                save(self.out, self.config, self.system, self.optimiser, done)
                self._show(done, self._pictures(sample))

    @torch.no_grad()
    def _show(self, done: int, picture: Tensor) -> None:
        assert self.report
        codec = self.system.codec
        shape = (len(picture), codec.channels)
        level = torch.zeros(shape, dtype=torch.int64, device=picture.device)
        latent = terms.quantise(codec.encode(picture, level))
        self.report.pictures(done, picture, codec.decode(latent, level))

    def _name_broken(self, sample: Sample) -> None:
        for index in set(sample.broken.tolist()) - self.broken - {-1}:
            self.broken.add(index)
            if self.report:
                items = self.photos.train
                self.report.say(
                    f"{items[index].name}: not readable, the next image stands in for it "
                    f"({len(self.broken)} of {len(items)} so far)"
                )
