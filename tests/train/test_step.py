"""Codec, density and head as one: which terms are asked for, and who teaches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tactic_train import losses
from tactic_train.batches import Draw
from tactic_train.config import Stage
from tactic_train.density import LogisticMixture
from tactic_train.heads import Head
from tactic_train.networks import BlockCodec, PaperCodec
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


class Gain(nn.Module):
    """Colours times a factor; other planes are not looked at, but remembered."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.seen = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.detach()
        return x[:, :3] * self.factor


class Identity(PaperCodec):
    """A codec that loses nothing but what rounding takes from it."""

    stride = 1
    first_step = 1.0

    def __init__(self, levels: int = 1) -> None:
        super().__init__(3, levels)
        self.encoder = nn.Sequential(Gain(100))
        self.decoder = Gain(0.01)


def system(head: Head, teacher: Head | None = None, levels: int = 1) -> System:
    density = LogisticMixture(3, levels)
    nn.init.constant_(density.log_scale, 2.0)
    return System(Identity(levels), density, head, teacher)


def stage(**changes: Any) -> Stage:
    usual = {"steps": 1, "learning_rate": 1e-3, "distortion": 2.0, "beta": 0.5, "alpha": 3.0}
    return Stage.model_validate(usual | {"features": 1.0} | changes)


def whole_picture(images: int = 2) -> Tensor:
    """Pixels that the codec above keeps exactly at its finest level."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 101, (images, 3, 32, 32), generator=generator) / 100


def drawn(noise: Tensor, level: list[int] | None = None) -> Draw:
    """Images of these levels, the same in all three channels."""
    return Draw(noise, torch.tensor(level or [0] * len(noise))[:, None].expand(-1, 3))


LABELS = torch.tensor([1, -1])
SILENCE = torch.zeros(2, 3, 32, 32)
QUIET = drawn(SILENCE)
LOUD = drawn(torch.full((2, 3, 32, 32), 0.4))


def test_teacher_loss_is_zero_on_identical_pictures() -> None:
    losses = system(Mean())(whole_picture(), LABELS, QUIET, stage(), 32)
    assert losses.distortion.item() == pytest.approx(0, abs=1e-9)
    assert losses.task.item() == pytest.approx(0, abs=1e-6)
    assert losses.total.item() == pytest.approx(0.5 * losses.rate.item(), rel=1e-4)


def test_total_is_eq_9() -> None:
    noise = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) - 0.5
    losses = system(Mean())(whole_picture(), LABELS, drawn(noise), stage(task="both"), 32)
    by_hand = 2.0 * losses.distortion + 3.0 * losses.task + 0.5 * losses.rate
    torch.testing.assert_close(losses.total, by_hand)
    assert losses.task > 0


def test_every_level_has_a_weight_of_its_own() -> None:
    of = [2, 0, 1]
    model = system(Mean(), levels=3)
    picture, labels = whole_picture(3), torch.tensor([1, 0, 3])
    noise = torch.rand(picture.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    asked = stage(task="both")
    totals, terms = [], []
    for i, level in enumerate(of):
        one = slice(i, i + 1)
        given = drawn(noise[one], [level])
        total, l_d, l_t, l_r = model(picture[one], labels[one], given, asked, 32)
        # Noise of one step is that of a level, on a scale of 100 steps of the finest.
        step = 3 ** (level / 2)
        torch.testing.assert_close(l_d, (noise[one] * step / 100).square().mean())
        torch.testing.assert_close(total, (2.0 * l_d + 3.0 * l_t + 0.5 * step**2 * l_r) / step)
        totals.append(total)
        terms.append(torch.stack([l_d, l_t, l_r]))
    whole = model(picture, labels, drawn(noise, of), asked, 32)
    torch.testing.assert_close(whole.total, torch.stack(totals).mean())
    torch.testing.assert_close(torch.stack(whole[1:]), torch.stack(terms).mean(dim=0))


def test_the_rate_is_that_of_the_level() -> None:
    model = system(Mean(), levels=3)
    with torch.no_grad():
        model.density.log_scale[:, 2] -= 1
    given = drawn(LOUD.noise, [0, 2])
    rate = model(whole_picture(), LABELS, given, stage(alpha=0.0), 32).rate
    latent = whole_picture() * 100 / torch.tensor([1.0, 3.0])[:, None, None, None] + 0.4
    bits = model.density.bits(latent, given.level).sum(dim=(1, 2, 3)) / 32**2
    assert bits[0].item() != pytest.approx(bits[1].item(), rel=0.05)
    torch.testing.assert_close(rate, bits.mean())


def test_steps_learn_in_a_batch_that_holds_every_level() -> None:
    model = system(Mean(), levels=3)
    noise = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) - 0.5
    for rounding in ("noise", "straight-through"):
        given = drawn(noise, [0, 1, 2])
        asked = stage(alpha=0.0, rounding=rounding)
        total = model(whole_picture(3), torch.zeros(3), given, asked, 32).total
        (gradient,) = torch.autograd.grad(total, model.codec.log_step)
        assert gradient.shape == (2, 3)
        assert gradient.abs().min() > 1e-6


@pytest.mark.parametrize("rounding", ["noise", "straight-through"])
def test_channels_that_are_not_sent_reach_neither_the_decoder_nor_the_rate(rounding: str) -> None:
    model = system(Mean())
    asked = stage(alpha=0.0, rounding=rounding)
    given = Draw(LOUD.noise, torch.tensor([[0, 1, 1], [0, 0, 0]]))
    picture = whole_picture()
    losses = model(picture, LABELS, given, asked, 32)
    decoder = model.codec.decoder
    assert isinstance(decoder, Gain)
    seen = decoder.seen
    assert seen[0, 1:].abs().sum() == 0
    symbols = picture * 100 + (0.4 if rounding == "noise" else 0)
    torch.testing.assert_close(seen[0, 0], symbols[0, 0])
    torch.testing.assert_close(seen[1], symbols[1])
    bits = model.density.bits(picture * 100 + 0.4, given.level)
    sent = (bits[0, :1].sum() + bits[1].sum()) / (2 * 32**2)
    torch.testing.assert_close(losses.rate, sent)
    lost = (seen * 0.01 - picture).square().mean()
    torch.testing.assert_close(losses.distortion, lost)


def test_channels_that_are_not_sent_teach_nothing() -> None:
    model = system(Mean())
    given = Draw(LOUD.noise, torch.tensor([[0, 1, 1], [0, 1, 1]]))
    total = model(whole_picture(), LABELS, given, stage(), 32).total
    torch.autograd.backward(total)
    moved = [
        p.grad.abs().sum(dim=(0, 1)) > 0 for p in model.density.parameters() if p.grad is not None
    ]
    assert [m.tolist() for m in moved] == [[True, False, False]] * 3


def test_an_image_is_weighed_by_its_first_channels_level() -> None:
    model = system(Mean(), levels=3)
    given = Draw(LOUD.noise[:1], torch.tensor([[1, 3, 3]]))
    losses = model(whole_picture(1), LABELS[:1], given, stage(alpha=0.0), 32)
    by_hand = (2.0 * losses.distortion + 0.5 * 3 * losses.rate) / 3**0.5
    torch.testing.assert_close(losses.total, by_hand)


def test_without_alpha_the_head_is_not_run() -> None:
    head = Mean()
    losses = system(head)(whole_picture(), LABELS, QUIET, stage(alpha=0.0), 32)
    assert (head.calls, losses.task.item()) == (0, 0)


def test_straight_through_hides_the_noise_from_the_decoder_only() -> None:
    model = system(Mean())
    soft, hard, silent = (
        model(whole_picture(), LABELS, given, stage(rounding=how), 32)
        for given, how in ((LOUD, "noise"), (LOUD, "straight-through"), (QUIET, "noise"))
    )
    assert soft.distortion > 1e-6 > hard.distortion
    assert hard.rate == soft.rate != silent.rate


def test_a_teacher_of_its_own_teaches() -> None:
    head, teacher = Mean(), Mean()
    picture = whole_picture()
    losses = system(head, teacher)(picture, LABELS, QUIET, stage(), 32)
    assert (head.calls, teacher.calls) == (1, 1)
    assert losses.task > 0


def test_the_gradient_reaches_a_tuned_head_and_passes_a_frozen_one() -> None:
    head = Mean().requires_grad_(False)
    picture = whole_picture().requires_grad_(True)
    system(head)(picture, LABELS, LOUD, stage(task="labels"), 32).total.backward()
    assert head.last.weight.grad is None
    assert picture.grad is not None and picture.grad.abs().sum() > 0


def test_a_head_alone_learns_from_the_uncompressed_pictures_while_the_codec_rests() -> None:
    model = System(BlockCodec(4), LogisticMixture(4), head := Mean())
    alone = stage(head="alone", task="labels", distortion=0.0, beta=0.0)
    picture, labels = whole_picture(), torch.tensor([1, 3])
    losses = model(picture, labels, drawn(torch.zeros(2, 4, 2, 2)), alone, 32)
    expected = nn.functional.cross_entropy(head.last(picture.mean(dim=(2, 3))), labels)
    torch.testing.assert_close(losses.task, expected)
    torch.testing.assert_close(losses.total, 3.0 * expected)
    assert (losses.distortion, losses.rate) == (0, 0)
    torch.autograd.backward(losses.total)
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"head"}


@pytest.mark.parametrize(
    "wrong", [{"distortion": 1.0}, {"beta": 0.1}, {"alpha": 0.0}, {"task": "teacher"}]
)
def test_a_stage_with_the_head_alone_asks_nothing_of_the_codec(wrong: dict[str, Any]) -> None:
    right = {"head": "alone", "task": "labels", "distortion": 0.0, "beta": 0.0}
    stage(**right)
    with pytest.raises(ValidationError, match='head = "alone" needs'):
        stage(**(right | wrong))


def test_an_int8_stage_puts_the_encoder_on_its_grid() -> None:
    torch.manual_seed(0)
    model = System(BlockCodec(4, levels=2), LogisticMixture(4, 2), Mean())
    given = Draw(torch.zeros(2, 4, 2, 2), torch.tensor([[0] * 4, [1] * 4]))
    exact, rounded = (
        model(whole_picture(), LABELS, given, stage(alpha=0.0, encoder=kind), 32)
        for kind in ("float", "int8")
    )
    assert exact.rate != rounded.rate
    assert rounded.rate.item() == pytest.approx(exact.rate.item(), rel=0.01)


class Pixels(Mean):
    """Scores of every pixel from its colour."""

    task = "segmentation"
    labels = ("a", "b", "c", "d")

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        return [picture], self.last(picture.movedim(1, -1)).movedim(-1, 1)


def test_masks_are_learnt_by_eq_10_with_the_measured_weights() -> None:
    model = system(Pixels())
    masks = torch.randint(-1, 4, (2, 32, 32), generator=torch.Generator().manual_seed(7))
    picture = whole_picture()
    scores = model.head(picture)
    found = []
    for weights in (torch.ones(4), torch.tensor([1.0, 9.0, 1.0, 1.0])):
        model.class_weights = weights
        asked = stage(task="labels", gamma=0.3)
        task = model(picture, masks, QUIET, asked, 16).task
        expected = losses.task_from_masks(scores, masks, weights, 0.3).mean()
        torch.testing.assert_close(task, expected, rtol=1e-4, atol=1e-4)
        found.append(task.item())
    assert found[0] != found[1]


def test_a_segmenter_teaches_itself_pixel_by_pixel() -> None:
    model = system(Pixels())
    picture, void = whole_picture(), torch.full((2, 32, 32), -1)
    quiet, loud = (model(picture, void, each, stage(), 16).task.item() for each in (QUIET, LOUD))
    assert quiet == pytest.approx(0, abs=1e-6)
    assert loud > 1e-6
