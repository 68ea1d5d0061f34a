"""Progress: lines where nobody watches, a bar where somebody does."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tactic_train.config import TrainConfig
from tactic_train.report import Report

Toy = Callable[..., TrainConfig]


def report(config: TrainConfig, out: Path, terminal: bool) -> str:
    stream = io.StringIO()
    seconds = iter(float(s) for s in range(0, 100, 2))
    console = Console(file=stream, force_terminal=terminal, width=200)
    shown = Report(config, out, 0, console, clock=lambda: next(seconds))
    shown.losses(2, [1.5, 0.01, 0.25, 0.125])
    shown.pictures(2, torch.rand(5, 3, 8, 8), torch.rand(5, 3, 8, 8))
    shown.close()
    return stream.getvalue()


def test_a_line_with_rate_and_time_left(toy: Toy, tmp_path: Path) -> None:
    lines = report(toy(), tmp_path, terminal=False).splitlines()
    assert lines[0] == f"toy: starts, 4 steps, output in {tmp_path}"
    assert lines[1] == (
        "step 2/4  loss 1.5000  L_D 0.01000 (20.0 dB)  L_T 0.250  L_R 0.125 bpp  4 images/s  "
        "0 min left"
    )


def test_a_head_alone_has_no_rate(toy: Toy, tmp_path: Path) -> None:
    alone = {"head": "alone", "distortion": 0.0, "beta": 0.0}
    stage = toy().stage[1].model_copy(update=alone)
    line = report(toy(stage=[stage, *toy().stage]), tmp_path, terminal=False).splitlines()[1]
    assert line == "step 2/6  head alone  L_T 0.250  4 images/s  0 min left"


def test_training_needs_no_tensorboard(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert "step 2/4" in report(toy(), tmp_path, terminal=False)
    assert not list(tmp_path.iterdir())


def test_a_bar_on_a_terminal(toy: Toy, tmp_path: Path) -> None:
    shown = report(toy(), tmp_path, terminal=True)
    assert "2/4" in shown and "0.125 bpp" in shown
    assert "min left" not in shown
