"""Codec, density and head as one: which terms are asked for, and who teaches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tactic_train.config import Stage
from tactic_train.density import LogisticMixture
from tactic_train.heads import Head
from tactic_train.networks import PaperCodec
from tactic_train.step import System


class Mean(Head):
    """Scores from mean colours."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 4)
        self.calls = 0

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        self.calls += 1
        return [picture], self.last(picture.mean(dim=(2, 3)))


class Identity(PaperCodec):
    """A codec that loses nothing but what rounding takes from it."""

    stride = 1

    def encode(self, picture: Tensor) -> Tensor:
        return picture * 100

    def decode(self, latent: Tensor) -> Tensor:
        return latent / 100


def system(head: Head, teacher: Head | None = None) -> System:
    return System(Identity(3), LogisticMixture(3), head, teacher)


def stage(**changes: Any) -> Stage:
    usual = {"steps": 1, "learning_rate": 1e-3, "distortion": 2.0, "beta": 0.5, "alpha": 3.0}
    return Stage.model_validate(usual | {"features": 1.0} | changes)


def whole_picture() -> Tensor:
    """Pixels that the codec above keeps exactly."""
    return torch.randint(0, 101, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)) / 100


LABELS = torch.tensor([1, -1])
SILENCE = torch.zeros(2, 3, 32, 32)


def test_teacher_loss_is_zero_on_identical_pictures() -> None:
    losses = system(Mean())(whole_picture(), LABELS, SILENCE, stage(), 32)
    assert losses.distortion.item() == pytest.approx(0, abs=1e-9)
    assert losses.task.item() == pytest.approx(0, abs=1e-6)
    assert losses.total.item() == pytest.approx(0.5 * losses.rate.item(), rel=1e-4)


def test_total_is_eq_9() -> None:
    noise = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) - 0.5
    losses = system(Mean())(whole_picture(), LABELS, noise, stage(task="both"), 32)
    by_hand = 2.0 * losses.distortion + 3.0 * losses.task + 0.5 * losses.rate
    torch.testing.assert_close(losses.total, by_hand)
    assert losses.task > 0


def test_without_alpha_the_head_is_not_run() -> None:
    head = Mean()
    losses = system(head)(whole_picture(), LABELS, SILENCE, stage(alpha=0.0), 32)
    assert (head.calls, losses.task.item()) == (0, 0)


def test_straight_through_hides_the_noise_from_the_decoder_only() -> None:
    noise = torch.full((2, 3, 32, 32), 0.4)
    model = system(Mean())
    soft, hard, silent = (
        model(whole_picture(), LABELS, given, stage(rounding=how), 32)
        for given, how in ((noise, "noise"), (noise, "straight-through"), (SILENCE, "noise"))
    )
    assert soft.distortion > 1e-6 > hard.distortion
    assert hard.rate == soft.rate != silent.rate


def test_a_teacher_of_its_own_teaches() -> None:
    head, teacher = Mean(), Mean()
    picture = whole_picture()
    losses = system(head, teacher)(picture, LABELS, SILENCE, stage(), 32)
    assert (head.calls, teacher.calls) == (1, 1)
    assert losses.task > 0


def test_the_gradient_reaches_a_tuned_head_and_passes_a_frozen_one() -> None:
    head = Mean().requires_grad_(False)
    picture = whole_picture().requires_grad_(True)
    noise = torch.full((2, 3, 32, 32), 0.4)
    system(head)(picture, LABELS, noise, stage(task="labels"), 32).total.backward()
    assert head.last.weight.grad is None
    assert picture.grad is not None and picture.grad.abs().sum() > 0
