"""Shapes, strides, cost and rate levels of the codecs."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from tactic_train import losses
from tactic_train.networks import (
    ARCHITECTURES,
    NEST,
    BlockCodec,
    Codec,
    LappedCodec,
    macs_per_pixel,
    per_channel,
)

ALL = pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
LEVELS = pytest.mark.parametrize("levels", [1, 5], ids=["one-level", "five-levels"])


def make(arch: str, levels: int = 1) -> Codec:
    """Six channels, whose steps differ."""
    torch.manual_seed(0)
    codec = ARCHITECTURES[arch](channels=6, levels=levels)
    if levels > 1:
        nn.init.uniform_(codec.log_step, 0.2, 1.0)
    return codec


def picture(images: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(images, 3, height, width, generator=torch.Generator().manual_seed(1))


def noisy(codec: Codec, image: Tensor, level: Tensor) -> Tensor:
    """What training draws; without noise the steps of a level would cancel."""
    latent = codec.encode(image, level)
    generator = torch.Generator().manual_seed(2)
    noise = torch.rand(latent.shape, generator=generator) - 0.5
    return codec.decode(losses.add_noise(latent, noise), level)


def at(*levels: int) -> Tensor:
    """Images of these levels, the same in all six channels; int64 (N, 6)."""
    return torch.tensor(levels)[:, None].expand(-1, 6)


def seen_by_the_decoder(codec: Codec, latent: Tensor, level: Tensor) -> Tensor:
    seen: list[Tensor] = []
    hook = codec.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        codec.decode(latent, level)
    hook.remove()
    return seen[0]


@ALL
@LEVELS
@pytest.mark.parametrize("size", [(32, 32), (48, 80)])
def test_shapes(arch: str, levels: int, size: tuple[int, int]) -> None:
    codec = make(arch, levels)
    height, width = size
    level = at(0, levels - 1)
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
def test_every_weight_gets_a_gradient(arch: str, levels: int) -> None:
    codec = make(arch, levels)
    drawn = noisy(codec, picture(levels), at(*range(levels)))
    torch.autograd.backward(drawn.square().mean())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in codec.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.parameters())


@ALL
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_level_teaches_the_steps_of_its_chain(arch: str, level: int) -> None:
    codec = make(arch, 5)
    torch.autograd.backward(noisy(codec, picture(1), at(level)).square().mean())
    assert codec.log_step.grad is not None
    assert (codec.log_step.grad[level % 2] != 0).all()
    assert (codec.log_step.grad[1 - level % 2] == 0).all()


@ALL
def test_steps_of_every_second_level_are_exactly_three_times_as_wide(arch: str) -> None:
    steps = make(arch, 5).steps()
    assert steps.shape == (5, 6)
    assert torch.equal(steps[2:], NEST * steps[:-2])
    assert len(set(steps[:2].flatten().tolist())) == 12


@ALL
def test_steps_start_at_equal_ratios(arch: str) -> None:
    first = ARCHITECTURES[arch].first_step
    steps = ARCHITECTURES[arch](channels=6, levels=5).steps()
    torch.testing.assert_close(steps, first * (3 ** (torch.arange(5) / 2))[:, None].expand(5, 6))
    assert torch.equal(make(arch).steps(), torch.full((1, 6), first))


@ALL
def test_a_checkpoint_holds_the_steps_of_the_two_finest_levels(arch: str) -> None:
    for levels in (1, 2, 5):
        assert make(arch, levels).state_dict()["log_step"].shape == (min(levels, 2), 6)
    assert "numbers" not in make(arch).state_dict()


@ALL
def test_a_coarse_latent_is_the_finer_one_divided_by_three(arch: str) -> None:
    codec = make(arch, 5)
    with torch.no_grad():
        # Large enough that the coarsest symbols are not all zero.
        latents = [100 * codec.encode(picture(1, 128, 128), at(level)) for level in range(5)]
    for fine, coarse in zip(latents[:-2], latents[2:], strict=True):
        # Where a latent lies between two cells, floating point decides.
        tie = (coarse - coarse.floor() - 0.5).abs() < 1e-4
        assert tie.float().mean() < 0.01
        again = torch.where(tie, coarse.round(), (fine.round() / NEST).round())
        assert torch.equal(again, coarse.round())
        refinement = fine.round() - NEST * again
        assert {-1.0, 0.0, 1.0} == set(refinement[~tie].tolist())


@ALL
@LEVELS
def test_a_level_divides_by_its_steps_and_multiplies_again(arch: str, levels: int) -> None:
    codec = make(arch, levels)
    image = picture(1)
    with torch.no_grad():
        finest = codec.encoder(image - codec.zero / 255)
        for level in range(levels):
            latent = codec.encode(image, at(level))
            torch.testing.assert_close(latent * per_channel(codec.steps(), at(level)), finest)
            seen = seen_by_the_decoder(codec, latent, at(level))
            torch.testing.assert_close(seen[:, :6], finest)


@ALL
@LEVELS
def test_planes_tell_the_decoder_a_whole_level_by_a_one(arch: str, levels: int) -> None:
    codec = make(arch, levels)
    latent = codec.encode(picture(levels), at(*range(levels)))
    told = seen_by_the_decoder(codec, latent, at(*range(levels)))[:, 6:]
    expected = torch.eye(levels) if levels > 1 else torch.empty(1, 0)
    assert torch.equal(told, expected[:, :, None, None].expand(-1, -1, *latent.shape[-2:]))


@ALL
def test_planes_tell_a_mixed_level_between_two(arch: str) -> None:
    codec = make(arch, 5)
    # Means 1 and two thirds, 1 and a third, 4.
    level = torch.tensor([[1, 1, 1, 1, 3, 3], [0, 0, 2, 2, 2, 2], [3, 3, 3, 5, 5, 5]])
    seen = seen_by_the_decoder(codec, codec.encode(picture(3), level), level)[:, 6:]
    third = 1 / 3
    told = torch.tensor([[0, third, 2 * third, 0, 0], [0, 2 * third, third, 0, 0], [0, 0, 0, 0, 1]])
    torch.testing.assert_close(seen, told[:, :, None, None].expand_as(seen))


@ALL
@LEVELS
def test_a_channel_beyond_the_coarsest_level_decodes_to_zero(arch: str, levels: int) -> None:
    codec = make(arch, levels)
    level = torch.tensor([[levels - 1] * 4 + [levels] * 2])
    with torch.no_grad():
        latent = codec.encode(picture(1), level)
        # It is given at the coarsest level all the same, and looked at by nobody.
        torch.testing.assert_close(latent, codec.encode(picture(1), at(levels - 1)))
    seen = seen_by_the_decoder(codec, latent, level)
    whole = seen_by_the_decoder(codec, latent, at(levels - 1))
    assert seen[:, 4:6].abs().sum() == 0
    assert whole[:, 4:6].abs().sum() > 0
    assert torch.equal(seen[:, :4], whole[:, :4])


@ALL
def test_the_planes_reach_the_picture(arch: str) -> None:
    # What the decoder sees apart from them is the same, as a test above says.
    codec = make(arch, 5)
    image = picture(1)
    with torch.no_grad():
        drawn = [codec.decode(codec.encode(image, at(k)), at(k)) for k in range(5)]
    for a, b in itertools.combinations(drawn, 2):
        assert (a - b).abs().max() > 1e-3


@ALL
def test_images_and_channels_have_levels_of_their_own(arch: str) -> None:
    codec = make(arch, 5)
    images = picture(3)
    level = torch.tensor([[4] * 6, [0, 0, 0, 2, 2, 2], [2, 4, 5, 0, 1, 3]])
    with torch.no_grad():
        latent = codec.encode(images, level)
        drawn = codec.decode(latent, level)
        for i in range(3):
            alone = codec.encode(images[i : i + 1], level[i : i + 1])
            torch.testing.assert_close(alone, latent[i : i + 1])
            torch.testing.assert_close(codec.decode(alone, level[i : i + 1]), drawn[i : i + 1])
        for channel, own in enumerate(level[2].clamp(max=4).tolist()):
            plain = codec.encode(images[2:], at(own))
            torch.testing.assert_close(plain[0, channel], latent[2, channel])


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
        drawn = ARCHITECTURES["paper"](channels=16).decode(
            torch.zeros(1, 16, 4, 4), torch.zeros(1, 16, dtype=torch.int64)
        )
        assert drawn.amin() > 0.1


@ALL
def test_names_are_their_own(arch: str) -> None:
    assert ARCHITECTURES[arch].arch == arch


@LEVELS
def test_cost_on_the_node(levels: int) -> None:
    assert macs_per_pixel(LappedCodec(64, levels)) == 768
    assert macs_per_pixel(BlockCodec(64, levels)) == 192
    assert macs_per_pixel(make("paper", levels)) == 3 * 32 * 9 + 32 * 6 * 9 / 4
