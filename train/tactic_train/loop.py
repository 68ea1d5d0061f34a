"""The training loop: Accelerate, progress, TensorBoard, checkpoints that resume exactly."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from torch.utils.data import DataLoader

from tactic_train.batches import Crops, StepSampler
from tactic_train.config import Stage, TrainConfig
from tactic_train.data import Item, open_source
from tactic_train.density import LogisticMixture
from tactic_train.errors import CheckpointError
from tactic_train.heads import make_head
from tactic_train.networks import ARCHITECTURES
from tactic_train.step import Losses, System

LOG_EVERY = 20


def build(config: TrainConfig) -> System:
    """The untrained system of a configuration; the same seed gives the same weights."""
    torch.manual_seed(config.seed)
    codec = ARCHITECTURES[config.model.arch](channels=config.model.channels)  # type: ignore[call-arg]
    density = LogisticMixture(config.model.channels)
    head = make_head(config.head.name, config.head.classes).eval()
    return System(codec, density, head)


def digest(config: TrainConfig) -> str:
    """Sixteen hexadecimal digits that name a configuration."""
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def learning_rate(stage: Stage, step: int) -> float:
    """A cosine from ``learning_rate`` to ``final_learning_rate`` over the stage."""
    share = (1 + math.cos(math.pi * step / stage.steps)) / 2
    return stage.final_learning_rate + share * (stage.learning_rate - stage.final_learning_rate)


def train(config: TrainConfig, out: Path, stop_after: int | None = None) -> Path:
    """Train, or go on where the last checkpoint in ``out`` stands.

    Parameters
    ----------
    config : TrainConfig
    out : Path
        Folder for ``checkpoint.pt``, ``config.json`` and TensorBoard's files.
    stop_after : int, optional
        Stop at this step (a test of resuming).

    Returns
    -------
    Path of the checkpoint.

    Raises
    ------
    DataError, HeadError, CheckpointError
    """
    accelerator = Accelerator()
    out.mkdir(parents=True, exist_ok=True)
    system = build(config).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(_trained(system, config))
    start = _resume(out, config, system, optimiser)
    loader = _loader(config, start, accelerator)
    model, optimiser = accelerator.prepare(system, optimiser)
    report = _Report(config, out, start, accelerator.is_main_process)
    for step, (pictures, labels) in enumerate(loader, start):
        stage, within = config.stage_at(step)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(stage, within)
        batch = pictures.to(accelerator.device).float().div_(255)
        batch = batch.contiguous(memory_format=torch.channels_last)
        seed = hash((config.seed, step, accelerator.process_index))
        head_px = stage.head_px[step % len(stage.head_px)]
        losses = model(batch, labels.to(accelerator.device), stage, head_px, seed)
        optimiser.zero_grad(set_to_none=True)
        accelerator.backward(losses.total)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        report(step, losses)
        done = step + 1
        if done % config.checkpoint_every == 0 or done in (config.steps, stop_after):
            if accelerator.is_main_process:
                save(out, config, system, optimiser, done)
            if done == stop_after:
                break
    accelerator.wait_for_everyone()
    return out / "checkpoint.pt"


def _trained(system: System, config: TrainConfig) -> list[torch.nn.Parameter]:
    """Codec and density; the head as well where a stage tunes it."""
    tuned = any(stage.head == "tuned" for stage in config.stage)
    system.head.requires_grad_(tuned)
    return [p for p in system.parameters() if p.requires_grad]


def _items(config: TrainConfig) -> tuple[Item, ...]:
    sources = [open_source(os.path.expandvars(s), config.seed) for s in config.data.sources]
    return tuple(item for source in sources for item in source.train)


def _loader(
    config: TrainConfig, start: int, accelerator: Accelerator
) -> DataLoader[tuple[torch.Tensor, int]]:
    """This process's share of every global batch, from step ``start`` on."""
    items = _items(config)
    share = config.batch // accelerator.num_processes
    first = share * accelerator.process_index
    sampler = StepSampler(len(items), config.batch, config.seed, start, config.steps)
    mine = [keys[first : first + share] for keys in sampler]
    return DataLoader(
        Crops(items, config.data.crop_px, config.seed),
        batch_sampler=mine,
        num_workers=config.workers,
    )


def save(
    out: Path, config: TrainConfig, system: System, optimiser: torch.optim.Optimizer, step: int
) -> None:
    """Write ``checkpoint.pt`` and ``config.json``, each replaced as a whole."""
    state = {
        "digest": digest(config),
        "step": step,
        "codec": system.codec.state_dict(),
        "density": system.density.state_dict(),
        "head": system.head.state_dict() if _tunes(config) else None,
        "optimiser": optimiser.state_dict(),
    }
    partial = out / "checkpoint.pt.partial"
    torch.save(state, partial)
    partial.replace(out / "checkpoint.pt")
    (out / "config.json").write_text(config.model_dump_json(indent=2) + "\n")


def _tunes(config: TrainConfig) -> bool:
    return any(stage.head == "tuned" for stage in config.stage)


def _resume(
    out: Path, config: TrainConfig, system: System, optimiser: torch.optim.Optimizer
) -> int:
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["digest"] != digest(config):
        raise CheckpointError(
            f"{path}: belongs to another configuration; choose another output folder or delete it"
        )
    load_weights(system, state)
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def load_weights(system: System, state: dict[str, dict[str, torch.Tensor]]) -> None:
    """Put a checkpoint's weights into a system."""
    system.codec.load_state_dict(state["codec"])
    system.density.load_state_dict(state["density"])
    if state["head"] is not None:
        system.head.load_state_dict(state["head"])


class _Report:
    """One line and one TensorBoard point every ``LOG_EVERY`` steps."""

    def __init__(self, config: TrainConfig, out: Path, start: int, active: bool) -> None:
        self.config = config
        self.active = active
        self.console = Console(soft_wrap=True)
        self.sums = torch.zeros(4)
        self.count = 0
        self.since = time.monotonic()
        if active:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(out / "tensorboard")
            word = "starts" if start == 0 else f"goes on at step {start}"
            self.console.print(f"{config.name}: {word}, {config.steps} steps, output in {out}")

    def __call__(self, step: int, losses: Losses) -> None:
        if not self.active:
            return
        values = (losses.total, losses.distortion, losses.task, losses.rate)
        self.sums += torch.stack([value.detach().cpu() for value in values])
        self.count += 1
        if (step + 1) % LOG_EVERY and step + 1 != self.config.steps:
            return
        total, distortion, task, rate = (self.sums / self.count).tolist()
        per_second = self.count / (time.monotonic() - self.since)
        left_s = (self.config.steps - step - 1) / per_second
        psnr = -10 * math.log10(max(distortion, 1e-9))
        self.console.print(
            f"step {step + 1}/{self.config.steps}  loss {total:.4f}  L_D {distortion:.5f} "
            f"({psnr:.1f} dB)  L_T {task:.3f}  L_R {rate:.3f} bpp  "
            f"{per_second * self.config.batch:.0f} images/s  {left_s / 60:.0f} min left",
            highlight=False,
        )
        for name, value in zip(
            ("total", "distortion", "task", "rate"), (total, distortion, task, rate), strict=True
        ):
            self.writer.add_scalar(f"loss/{name}", value, step + 1)
        self.sums.zero_()
        self.count = 0
        self.since = time.monotonic()
