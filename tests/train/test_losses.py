"""Each term of the loss has the properties of its equation."""

from __future__ import annotations

import math

import pytest
import torch

from tactic_train import losses


def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_noise_is_added_as_it_is() -> None:
    latent, noise = torch.tensor([1.25, -3.0]), torch.tensor([0.25, -0.5])
    assert losses.add_noise(latent, noise).tolist() == [1.5, -3.5]


def test_latents_stay_within_int8() -> None:
    assert losses.clamp(torch.tensor([-400.0, -1.6, 300.0])).tolist() == [
        -128,
        pytest.approx(-1.6),
        127,
    ]


def test_quantise_gives_int8_whole_numbers() -> None:
    latent = torch.tensor([-400.0, -1.6, 0.4, 126.7, 300.0])
    assert losses.quantise(latent).tolist() == [-128, -2, 0, 127, 127]


def test_straight_through_rounds_forwards_and_passes_backwards() -> None:
    latent = torch.tensor([0.3, 1.7, 900.0], requires_grad=True)
    rounded = losses.quantise_straight_through(latent)
    (gradient,) = torch.autograd.grad(rounded, latent, torch.tensor([1.0, 2.0, 3.0]))
    assert rounded.tolist() == [0, 2, 127]
    assert gradient.tolist() == [1, 2, 3]


def test_distortion_is_the_mean_squared_error() -> None:
    picture = pictures()
    assert losses.distortion(picture, picture).tolist() == [0, 0]
    off = torch.tensor([0.1, 0.2])[:, None, None, None]
    assert losses.distortion(picture, picture + off).tolist() == pytest.approx([0.01, 0.04])


def test_rate_is_bits_over_source_pixels() -> None:
    bits = torch.tensor([3.0, 5.0])[:, None, None, None].expand(2, 4, 2, 2)
    assert losses.rate(bits, pixels=64).tolist() == [4 * 2 * 2 * 3 / 64, 4 * 2 * 2 * 5 / 64]


def test_labels_loss_is_cross_entropy_and_skips_what_has_none() -> None:
    scores = torch.zeros(4, 10)
    labels = torch.tensor([3, -1, 9, -1])
    expected = [math.log(10), 0, math.log(10), 0]
    assert losses.task_from_labels(scores, labels).tolist() == pytest.approx(expected)
    assert losses.task_from_labels(scores, torch.full((4,), -1)).tolist() == [0, 0, 0, 0]


def test_teacher_loss_is_zero_for_equal_scores_and_positive_otherwise() -> None:
    scores = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    none = pytest.approx([0, 0, 0], abs=1e-5)
    assert losses.task_from_teacher(scores, scores).tolist() == none
    assert losses.task_from_teacher(scores, scores + 7).tolist() == none
    assert (losses.task_from_teacher(scores, scores.flip(1)) > 0.01).all()


def test_teacher_loss_by_hand() -> None:
    ours, taught = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.75, 0.25]]).log()
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert losses.task_from_teacher(ours, taught).item() == pytest.approx(expected)


def test_feature_loss_is_relative() -> None:
    maps = [torch.ones(2, 3, 4, 4), pictures()]
    assert losses.task_from_features(maps, maps).tolist() == [0, 0]
    for scale in (1.0, 100.0):
        taught = [scale * m for m in maps]
        none = [torch.zeros_like(m) for m in maps]
        assert losses.task_from_features(none, taught).tolist() == pytest.approx([1, 1])


def test_feature_loss_survives_a_dead_map() -> None:
    dead = [torch.zeros(1, 2, 3, 3)]
    assert losses.task_from_features(dead, dead).tolist() == [0]


@pytest.mark.parametrize("name", ["distortion", "labels", "teacher", "features", "rate"])
def test_every_image_has_a_loss_of_its_own(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    a, b = (torch.randn(4, 6, 5, 5, generator=generator) for _ in range(2))
    labels = torch.tensor([1, -1, -1, -1])

    def loss(part: slice) -> torch.Tensor:
        return {
            "distortion": lambda: losses.distortion(a[part], b[part]),
            "labels": lambda: losses.task_from_labels(a[part].mean((2, 3)), labels[part]),
            "teacher": lambda: losses.task_from_teacher(a[part].mean((2, 3)), b[part].mean((2, 3))),
            "features": lambda: losses.task_from_features([a[part]], [b[part]]),
            "rate": lambda: losses.rate(a[part], 100),
        }[name]()

    alone = torch.cat([loss(slice(i, i + 1)) for i in range(4)])
    assert alone.shape == (4,) and len(set(alone.tolist())) > 1
    torch.testing.assert_close(loss(slice(4)), alone)


def test_total_weighs_the_three_terms_of_every_image() -> None:
    l_d, l_t, l_r = (torch.tensor([v, 2 * v]) for v in (1.0, 10.0, 100.0))
    beta = torch.tensor([0.25, 1.0])
    assert losses.total(l_d, l_t, l_r, 0.5, beta).tolist() == [1 + 5 + 25, 2 + 10 + 200]


def maps(masks: list[list[list[int]]], sure: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores that are right everywhere, void pixels included, by a margin; (N, 3, H, W)."""
    truth = torch.tensor(masks)
    one_hot = torch.nn.functional.one_hot(truth.clamp_min(0), 3).movedim(-1, 1)
    return sure * one_hot.float(), truth


WEIGHTS = torch.tensor([1.0, 4.0, 1.0])


def test_mask_losses_vanish_where_every_pixel_is_right() -> None:
    scores, truth = maps([[[0, 1], [-1, 1]], [[2, 2], [2, 2]]], sure=50)
    for gamma in (0.0, 0.3, 1.0):
        loss = losses.task_from_masks(scores, truth, WEIGHTS, gamma)
        assert loss.tolist() == pytest.approx([0, 0], abs=1e-6)
        assert (losses.task_from_masks(-scores, truth, WEIGHTS, gamma) > 0.9).all()


def test_mask_loss_mixes_both_terms_by_gamma() -> None:
    scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    truth = torch.randint(-1, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    entropy = losses.weighted_cross_entropy(scores, truth, WEIGHTS)
    dice = losses.dice(scores, truth)
    mixed = losses.task_from_masks(scores, truth, WEIGHTS, 0.25)
    torch.testing.assert_close(mixed, 0.25 * entropy + 0.75 * dice)
    alone = [
        losses.task_from_masks(scores[i : i + 1], truth[i : i + 1], WEIGHTS, 0.25) for i in (0, 1)
    ]
    torch.testing.assert_close(mixed, torch.cat(alone))


def test_weighted_cross_entropy_by_hand() -> None:
    scores, truth = torch.zeros(1, 3, 1, 3), torch.tensor([[[0, 1, -1]]])
    scores[0, 0, 0, 0] = 1.0
    first = math.log(1 + 2 * math.exp(-1))
    expected = (first + 4 * math.log(3)) / 5
    assert losses.weighted_cross_entropy(scores, truth, WEIGHTS).item() == pytest.approx(expected)


def test_dice_by_hand() -> None:
    # Two pixels of class 0, one of them given to class 1; class 2 is not there and counts nowhere.
    scores = torch.full((1, 3, 1, 3), -50.0)
    for column, answer in enumerate((0, 1, 1)):
        scores[0, answer, 0, column] = 50
    truth = torch.tensor([[[0, 0, 1]]])
    expected = 1 - (2 * 1 / (1 + 2) + 2 * 1 / (2 + 1)) / 2
    assert losses.dice(scores, truth).item() == pytest.approx(expected)


def test_void_pixels_teach_nothing() -> None:
    scores = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()
    truth = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(4))
    truth[0, :2] = -1
    truth[1] = -1
    loss = losses.task_from_masks(scores, truth, WEIGHTS, 0.5)
    assert loss[0] > 0 and loss[1] == 0
    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    assert gradient[0, :, :2].abs().sum() == gradient[1].abs().sum() == 0
    assert (gradient[0, :, 2:].abs().sum(dim=0) > 0).all()


def test_a_teacher_of_pixels_counts_their_mean() -> None:
    generator = torch.Generator().manual_seed(5)
    ours, theirs = (torch.randn(2, 3, 4, 5, generator=generator) for _ in range(2))
    each = (losses.task_from_teacher(ours[i].flatten(1).T, theirs[i].flatten(1).T) for i in (0, 1))
    expected = torch.stack([of_pixels.mean() for of_pixels in each])
    torch.testing.assert_close(losses.task_from_teacher(ours, theirs), expected)
