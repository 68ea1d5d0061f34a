"""What a person sees of a training run: progress in the terminal, curves in TensorBoard."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from tactic_train.config import TrainConfig

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG_EVERY = 20
_SHOWN = 4


class Report:
    """A bar in an interactive terminal, a line every ``LOG_EVERY`` steps otherwise.

    Parameters
    ----------
    config : TrainConfig
    out : Path
        TensorBoard's files go to ``out/tensorboard``.
    start : int
        Steps done before.
    console : Console
    clock : callable
        Seconds, rising.
    """

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        start: int,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.console = console
        self.clock = clock
        self.last_step = start
        self.since_s = clock()
        self.writer = _writer(out / "tensorboard", start)
        self.progress = Progress(
            TextColumn("{task.completed}/{task.total}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.bar = self.progress.add_task("", total=config.steps, completed=start)
        word = "starts" if start == 0 else f"goes on at step {start}"
        self.say(f"{config.name}: {word}, {config.steps} steps, output in {out}")
        self.progress.start()

    def say(self, text: str) -> None:
        """One line, above the bar if there is one."""
        self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def losses(self, done: int, values: list[float]) -> None:
        """Show the means of total, L_D, L_T and L_R since the last call, after ``done`` steps."""
        total, distortion, task, rate = values
        now_s = self.clock()
        per_second = (done - self.last_step) / max(now_s - self.since_s, 1e-9)
        self.last_step, self.since_s = done, now_s
        if self.config.stage_at(done - 1)[0].head == "alone":
            text = f"head alone  L_T {task:.3f}"
        else:
            psnr = -10 * math.log10(max(distortion, 1e-9))
            text = (
                f"loss {total:.4f}  L_D {distortion:.5f} ({psnr:.1f} dB)  L_T {task:.3f}  "
                f"L_R {rate:.3f} bpp"
            )
        text += f"  {per_second * self.config.batch:.0f} images/s"
        self.progress.update(self.bar, completed=done, description=text)
        if not self.console.is_terminal:
            left_min = (self.config.steps - done) / per_second / 60
            self.say(f"step {done}/{self.config.steps}  {text}  {left_min:.0f} min left")
        if self.writer is None:
            return
        for name, value in zip(("total", "distortion", "task", "rate"), values, strict=True):
            self.writer.add_scalar(f"loss/{name}", value, done)

    def pictures(self, done: int, pictures: Tensor, reconstructions: Tensor) -> None:
        """Put some pictures over their reconstructions; both float32 (N, 3, H, W) in [0, 1]."""
        if self.writer is None:
            return
        rows = [torch.cat(list(row[:_SHOWN]), dim=2) for row in (pictures, reconstructions)]
        self.writer.add_image("reconstruction", torch.cat(rows, dim=1).clamp(0, 1), done)

    def close(self) -> None:
        """Stop the bar and write what TensorBoard still holds."""
        self.progress.stop()
        if self.writer:
            self.writer.close()


def _writer(folder: Path, start: int) -> SummaryWriter | None:
    """What writes curves; None on a machine without TensorBoard, which training does not need."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder, purge_step=start + 1 if start else None)
