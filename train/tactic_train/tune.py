"""Tune a head on pictures that stay as they are, such as those a fixed codec decoded.

One schedule for all codecs that are compared: the order of the pictures, their flips and the
learning rate are functions of schedule, seed and step, never of the codec.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tactic_codec.config import Section
from tactic_train import losses
from tactic_train.batches import StepSampler
from tactic_train.checkpoint import replace_file
from tactic_train.errors import CheckpointError, TrainError
from tactic_train.heads import Head

LOG_EVERY = 20
SAVE_EVERY = 200
_ANSWERED_AT_ONCE = 32

Pictures = NDArray[np.uint8]
#: classes of pictures (N,) or of pixels (N, H, W), −1 where there is none
Labels = NDArray[np.integer]
#: scores and labels of a batch to a value for each picture, (N,)
Loss = Callable[[Tensor, Tensor], Tensor]


class Tuning(Section):
    """How long and how fast a head is tuned."""

    steps: int = Field(ge=1)
    batch: int = Field(default=32, ge=1)
    """Pictures a step."""
    learning_rate: float = Field(gt=0)
    """Of Adam, after a rise over a tenth of the steps; it falls to 0 along a cosine."""
    head_px: int = Field(ge=32)
    """Side at which a head that classifies sees the pictures."""

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / max(1, self.steps // 10))
        return self.learning_rate * rise * (1 + math.cos(math.pi * step / self.steps)) / 2


def tune_head(
    head: Head,
    pictures: Pictures,
    labels: Labels,
    schedule: Tuning,
    *,
    seed: int,
    checkpoint: Path,
    say: Callable[[str], None],
    loss: Loss = losses.task_from_labels,
) -> None:
    """Tune all weights of a head in place, or go on where a checkpoint stands.

    Batch normalisation keeps its stored statistics. Pictures are mirrored by chance, their masks
    with them.

    Parameters
    ----------
    head : Head
    pictures : uint8 array (N, H, W, 3)
    labels : integer array (N,) or (N, H, W)
    schedule : Tuning
    seed : int
        Of order and flips.
    checkpoint : Path
        Written every ``SAVE_EVERY`` steps and at the end; on one machine's processor, going on
        from it gives the weights of an uninterrupted run, to the bit.
    say : callable
        Takes one line of progress.
    loss : callable
        Cross-entropy of pictures, unless another is given.

    Raises
    ------
    CheckpointError
        The checkpoint is damaged or belongs to another schedule, seed or head.
    TrainError
        The loss is not finite.
    """
    head.requires_grad_(True)
    optimiser = torch.optim.Adam(head.parameters())
    state = _State(head, optimiser, checkpoint, _digest(schedule, seed))
    start = state.restore()
    sampler = StepSampler(
        len(pictures), schedule.batch, slice(None), seed=seed, start=start, stop=schedule.steps
    )
    recent = []
    for step, keys in enumerate(sampler, start):
        chosen = np.array([item for _, item in keys])
        flips = np.random.default_rng((seed, step)).random(len(chosen)) < 0.5
        batch = _mirror(pictures[chosen], flips), _mirror(labels[chosen], flips)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate_at(step)
        recent.append(_step(head, optimiser, *batch, schedule.head_px, loss))
        done = step + 1
        if done % LOG_EVERY == 0 or done == schedule.steps:
            mean = float(torch.stack(recent).mean())
            recent.clear()
            if not math.isfinite(mean):
                raise TrainError(f"the loss is not finite at step {done}: lower learning_rate")
            say(f"head: step {done}/{schedule.steps}  loss {mean:.3f}")
        if done % SAVE_EVERY == 0 or done == schedule.steps:
            state.save(done)
    head.requires_grad_(False)


def _mirror(arrays: NDArray[Any], flips: NDArray[np.bool_]) -> NDArray[Any]:
    """Mirror some of (N, H, W, ...); labels of whole pictures stay as they are."""
    if arrays.ndim == 1:
        return arrays
    chosen = flips.reshape(-1, *[1] * (arrays.ndim - 1))
    return np.where(chosen, arrays[:, :, ::-1], arrays)


def _on_device(pictures: Pictures, head: Head) -> Tensor:
    """float32 (N, 3, H, W) in [0, 1]."""
    device = next(head.parameters()).device
    planes = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)
    return planes.float().div_(255).contiguous(memory_format=torch.channels_last)


def _step(
    head: Head,
    optimiser: torch.optim.Optimizer,
    pictures: Pictures,
    labels: Labels,
    head_px: int,
    loss: Loss,
) -> Tensor:
    scores = head(_on_device(pictures, head), head_px)
    truth = torch.from_numpy(labels.astype(np.int64)).to(scores.device)
    found = loss(scores, truth).mean()
    optimiser.zero_grad(set_to_none=True)
    found.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
    optimiser.step()
    return found.detach()


def _digest(schedule: Tuning, seed: int) -> str:
    return hashlib.sha256(f"{schedule.model_dump_json()} {seed}".encode()).hexdigest()[:16]


class _State:
    """What a killed run needs to go on."""

    def __init__(
        self, head: Head, optimiser: torch.optim.Optimizer, path: Path, digest: str
    ) -> None:
        self.head = head
        self.optimiser = optimiser
        self.path = path
        self.digest = digest

    def restore(self) -> int:
        """Steps that are done."""
        if not self.path.exists():
            return 0
        device = next(self.head.parameters()).device
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
            digest, step = state["digest"], int(state["step"])
            if digest == self.digest:
                self.head.load_state_dict(state["head"])
                self.optimiser.load_state_dict(state["optimiser"])
        except Exception as fault:  # a file of anything makes the unpickler raise anything
            raise CheckpointError(f"{self.path}: damaged; delete it to tune anew") from fault
        if digest != self.digest:
            raise CheckpointError(f"{self.path}: of another schedule or seed; delete it")
        return step

    def save(self, step: int) -> None:
        """Replace the checkpoint as a whole."""
        buffer = io.BytesIO()
        parts = {"head": self.head.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save({"digest": self.digest, "step": step, **parts}, buffer)
        replace_file(self.path, buffer.getvalue())


def save_weights(head: Head, path: Path) -> None:
    """Write what ``head.weights`` of a configuration reads back, as a whole or not at all."""
    prefix = "net."
    own = {name: value.cpu() for name, value in head.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({n.removeprefix(prefix): v for n, v in own.items() if n.startswith(prefix)}, buffer)
    replace_file(path, buffer.getvalue())


@torch.no_grad()
def answers(head: Head, pictures: Pictures, head_px: int) -> NDArray[np.int16]:
    """First class of every picture (N,), or of every pixel (N, H, W).

    Parameters
    ----------
    pictures : uint8 array (N, H, W, 3)
    head_px : int
        Side at which a head that classifies sees them.
    """
    parts = []
    for at in range(0, len(pictures), _ANSWERED_AT_ONCE):
        scores = head(_on_device(pictures[at : at + _ANSWERED_AT_ONCE], head), head_px)
        parts.append(scores.argmax(dim=1).short().cpu().numpy())
    return np.concatenate(parts)
