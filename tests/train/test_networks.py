"""Shapes, strides, cost and rate levels of the codecs."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from tactic_train import losses
from tactic_train.networks import ARCHITECTURES, BlockCodec, Codec, LappedCodec, macs_per_pixel

ALL = pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
ONE = (1.0,)
FIVE = (1.0, 1.4, 2.0, 2.8, 4.0)
LEVELS = pytest.mark.parametrize("levels", [ONE, FIVE], ids=["one-level", "five-levels"])


def make(arch: str, levels: tuple[float, ...] = ONE) -> Codec:
    """Six channels; the coarser levels' steps differ from channel to channel."""
    torch.manual_seed(0)
    codec = ARCHITECTURES[arch](channels=6, levels=levels)
    if codec.log_step is not None:
        nn.init.uniform_(codec.log_step, 0.2, 1.5)
    return codec


def picture(images: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(images, 3, height, width, generator=torch.Generator().manual_seed(1))


def noisy(codec: Codec, image: Tensor, level: Tensor) -> Tensor:
    """What training draws; without noise the steps of a level would cancel."""
    latent = codec.encode(image, level)
    generator = torch.Generator().manual_seed(2)
    noise = torch.rand(latent.shape, generator=generator) - 0.5
    return codec.decode(losses.add_noise(latent, noise), level)


def at(level: int, images: int = 1) -> Tensor:
    return torch.full((images,), level)


@ALL
@LEVELS
@pytest.mark.parametrize("size", [(32, 32), (48, 80)])
def test_shapes(arch: str, levels: tuple[float, ...], size: tuple[int, int]) -> None:
    codec = make(arch, levels)
    height, width = size
    level = torch.tensor([0, len(levels) - 1])
    with torch.no_grad():
        latent = codec.encode(picture(2, height, width), level)
        assert latent.shape == (2, 6, height // codec.stride, width // codec.stride)
        assert codec.decode(latent, level).shape == (2, 3, height, width)


@ALL
def test_the_encoder_is_built_of_what_the_int8_graph_expresses(arch: str) -> None:
    allowed = (nn.Conv2d, nn.ReLU, nn.MaxPool2d)
    assert all(isinstance(layer, allowed) for layer in make(arch).encoder)


@pytest.mark.parametrize("arch", ["block", "lapped"])
def test_our_encoder_is_linear(arch: str) -> None:
    codec = make(arch)
    a, b = picture(2)[:1], picture(2)[1:]
    grey = torch.full_like(a, codec.zero / 255)
    with torch.no_grad():
        of_a, of_b, of_grey, of_all = (
            codec.encode(x, at(0)) for x in (a, b, grey, a + 2 * (b - grey))
        )
    torch.testing.assert_close(of_all, of_a + 2 * (of_b - of_grey), atol=1e-5, rtol=0)


@ALL
@LEVELS
def test_every_weight_gets_a_gradient(arch: str, levels: tuple[float, ...]) -> None:
    codec = make(arch, levels)
    level = torch.arange(len(levels))
    torch.autograd.backward(noisy(codec, picture(len(levels)), level).square().mean())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in codec.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.parameters())


@ALL
def test_a_step_learns_from_the_images_of_its_level(arch: str) -> None:
    moved = []
    for level in (torch.arange(5), torch.tensor([0, 2, 2, 2, 2])):
        codec = make(arch, FIVE)
        torch.autograd.backward(noisy(codec, picture(5), level).square().mean())
        assert codec.log_step is not None and codec.log_step.grad is not None
        moved.append((codec.log_step.grad.abs().sum(dim=1) > 0).tolist())
    assert moved == [[True] * 4, [False, True, False, False]]


@ALL
def test_steps_start_as_configured_and_the_finest_stay_one(arch: str) -> None:
    codec = ARCHITECTURES[arch](channels=6, levels=FIVE)
    torch.testing.assert_close(codec.steps(), torch.tensor(FIVE)[:, None].expand(5, 6))
    assert torch.equal(make(arch, FIVE).steps()[0], torch.ones(6))
    assert torch.equal(make(arch).steps(), torch.ones(1, 6))


@ALL
def test_a_checkpoint_holds_steps_of_coarser_levels_only(arch: str) -> None:
    assert make(arch, FIVE).state_dict()["log_step"].shape == (4, 6)
    assert {"log_step", "levels"}.isdisjoint(make(arch).state_dict())


@ALL
@LEVELS
def test_a_level_divides_by_its_steps_and_multiplies_again(
    arch: str, levels: tuple[float, ...]
) -> None:
    codec = make(arch, levels)
    image = picture(1)
    seen: list[Tensor] = []
    codec.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        finest = codec.encode(image, at(0))
        for level in range(len(levels)):
            latent = codec.encode(image, at(level))
            steps = codec.steps()[level]
            torch.testing.assert_close(latent * steps[None, :, None, None], finest)
            codec.decode(latent, at(level))
    planes = 0 if levels == ONE else len(levels)
    for level, inputs in enumerate(seen):
        torch.testing.assert_close(inputs[:, :6], finest)
        told = torch.eye(len(levels))[level, :planes]
        assert torch.equal(inputs[:, 6:], told[None, :, None, None].expand_as(inputs[:, 6:]))
    assert all(inputs.shape[1] == 6 + planes for inputs in seen)


@ALL
def test_the_planes_tell_the_decoder_its_level(arch: str) -> None:
    # What the decoder sees apart from them is the same, as the test above says.
    codec = make(arch, FIVE)
    image = picture(1)
    with torch.no_grad():
        drawn = [codec.decode(codec.encode(image, at(k)), at(k)) for k in range(5)]
    for a, b in itertools.combinations(drawn, 2):
        assert (a - b).abs().max() > 1e-3


@ALL
def test_images_of_a_batch_have_levels_of_their_own(arch: str) -> None:
    codec = make(arch, FIVE)
    images, level = picture(3), torch.tensor([4, 0, 2])
    with torch.no_grad():
        latent = codec.encode(images, level)
        drawn = codec.decode(latent, level)
        for i in range(3):
            alone = codec.encode(images[i : i + 1], level[i : i + 1])
            torch.testing.assert_close(alone, latent[i : i + 1])
            torch.testing.assert_close(codec.decode(alone, level[i : i + 1]), drawn[i : i + 1])


@pytest.mark.parametrize("network", [BlockCodec, LappedCodec])
def test_mid_grey_gives_the_bias_up_to_the_border(network: type[LappedCodec]) -> None:
    torch.manual_seed(0)
    codec = network(channels=6)
    bias = codec.encoder[0].bias
    assert isinstance(bias, Tensor)
    nn.init.normal_(bias)
    grey, bright = (torch.full((1, 3, 64, 80), v, dtype=torch.uint8).float() for v in (128, 200))
    with torch.no_grad():
        latent = codec.encode(grey / 255, at(0))
        assert torch.equal(latent, bias[:, None, None].expand(1, 6, 4, 5))
        latent = codec.encode(bright / 255, at(0))
    # Only windows that overlap reach beyond the border, which other greys show.
    beyond = (latent[:, :, 0, 0] - latent[:, :, 1, 1]).abs().max() > 0.01
    assert bool(beyond) == (network is LappedCodec)


@pytest.mark.parametrize(("arch", "reach_px"), [("block", 0), ("lapped", 8)])
def test_windows_overlap_by_half_of_themselves_or_not_at_all(arch: str, reach_px: int) -> None:
    codec = make(arch)
    image = picture(1, 64, 64).requires_grad_(True)
    seen = codec.encode(image, at(0))[0, :, 1, 2].abs().sum()
    (gradient,) = torch.autograd.grad(seen, image)
    rows, columns = (gradient.abs().sum(dim=(0, 1, axis)).nonzero() for axis in (3, 2))
    assert rows.flatten().tolist() == list(range(16 - reach_px, 32 + reach_px))
    assert columns.flatten().tolist() == list(range(32 - reach_px, 48 + reach_px))


def test_the_papers_decoder_starts_away_from_black() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        drawn = ARCHITECTURES["paper"](channels=16).decode(torch.zeros(1, 16, 4, 4), at(0))
        assert drawn.amin() > 0.1


@ALL
def test_names_are_their_own(arch: str) -> None:
    assert ARCHITECTURES[arch].arch == arch


@LEVELS
def test_cost_on_the_node(levels: tuple[float, ...]) -> None:
    assert macs_per_pixel(LappedCodec(64, levels)) == 768
    assert macs_per_pixel(BlockCodec(64, levels)) == 192
    assert macs_per_pixel(make("paper", levels)) == 3 * 32 * 9 + 32 * 6 * 9 / 4
