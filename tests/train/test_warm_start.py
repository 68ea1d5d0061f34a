"""Before the first step a codec is the best linear transform, and already draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tactic_train.density import LogisticMixture
from tactic_train.networks import BlockCodec, LappedCodec
from tactic_train.warm_start import warm_start

STEP = 0.4
BOTH = pytest.mark.parametrize("network", [BlockCodec, LappedCodec])
Network = type[LappedCodec]


def smooth_pictures() -> Tensor:
    coarse = torch.rand(192, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(coarse, (64, 64), mode="bicubic").clamp(0, 1)


def pictures_of_twenty_blocks() -> Tensor:
    """48 pictures whose blocks of 16 pixels are sums of twenty patterns; around mid-grey."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(20, 3 * 16 * 16, generator=generator)
    blocks = torch.randn(48, 16, 20, generator=generator) @ patterns
    pixels = nn.functional.fold(blocks.movedim(1, 2), (64, 64), 16, stride=16)
    return 128 / 255 + 0.02 * pixels


def start(
    network: Network,
    channels: int,
    pictures: Tensor,
    levels: int = 1,
    step: float = STEP,
) -> tuple[LappedCodec, LogisticMixture]:
    torch.manual_seed(0)
    codec, density = network(channels, levels), LogisticMixture(channels, levels)
    warm_start(codec, density, pictures, step)
    return codec, density


def linear(network: Network, channels: int, pictures: Tensor) -> LappedCodec:
    """A codec that holds nothing but what the warm start puts there."""
    codec = network(channels)
    for parameter in codec.parameters():
        nn.init.zeros_(parameter)
    warm_start(codec, LogisticMixture(channels), pictures, STEP)
    return codec


def at(codec: LappedCodec, pictures: Tensor, level: int = 0) -> Tensor:
    return torch.full((len(pictures), codec.channels), level)


def coded(codec: LappedCodec, pictures: Tensor, level: int = 0) -> tuple[Tensor, float]:
    """Rounded latents, and the error of what is drawn from them over the pictures' variance."""
    levels = at(codec, pictures, level)
    with torch.no_grad():
        latent = codec.encode(pictures, levels).round()
        error = (codec.decode(latent, levels) - pictures).square().mean()
    return latent, float(error / pictures.var())


def entropy(symbols: Tensor) -> float:
    """Bits a symbol of the best static table of every channel; (N, C, h, w)."""
    total = 0.0
    for channel in symbols.movedim(1, 0):
        counts = channel.unique(return_counts=True)[1].double()
        total -= float((counts / counts.sum()).log2() @ counts)
    return total / symbols.numel()


@BOTH
@pytest.mark.parametrize("channels", [24, 64])
def test_it_already_draws_and_knows_the_rate(network: Network, channels: int) -> None:
    pictures = smooth_pictures()
    codec, density = start(network, channels, pictures)
    latent, error = coded(codec, pictures)
    assert error < 0.03
    with torch.no_grad():
        bits = density.bits(latent, at(codec, pictures)).mean()
    assert entropy(latent) < bits < entropy(latent) + 0.25


@BOTH
def test_it_draws_at_every_level_the_coarser_the_worse_and_the_cheaper(network: Network) -> None:
    pictures = smooth_pictures()
    codec, density = start(network, 24, pictures, levels=5, step=0.16)
    errors, bits = [], []
    for level in range(5):
        latent, error = coded(codec, pictures, level)
        errors.append(error)
        with torch.no_grad():
            bits.append(float(density.bits(latent, at(codec, pictures, level)).mean()))
        assert entropy(latent) < bits[-1] < entropy(latent) + 0.25
    assert errors == sorted(errors) and errors[4] < 0.15
    assert bits == sorted(bits, reverse=True) and bits[4] < bits[0] / 2


@BOTH
def test_the_encoder_is_orthonormal_in_the_middle_of_its_windows(network: Network) -> None:
    codec, _ = start(network, 24, smooth_pictures())
    weight = codec.encoder[0].weight
    assert isinstance(weight, Tensor)
    first = (network.window - 16) // 2
    middle = weight[:, :, first : first + 16, first : first + 16].detach()
    rows = middle.flatten(1) * STEP
    torch.testing.assert_close(rows @ rows.T, torch.eye(24), atol=1e-4, rtol=0)
    assert weight.count_nonzero() <= middle.numel()
    assert middle.count_nonzero() == weight.count_nonzero()


@BOTH
def test_pictures_of_few_blocks_come_back_exactly(network: Network) -> None:
    # Twenty patterns have eighty quarters: no more than the decoder's 96 channels at stride 8.
    pictures = pictures_of_twenty_blocks()
    errors = {}
    for channels in (18, 24):
        codec = linear(network, channels, pictures)
        level = at(codec, pictures)
        with torch.no_grad():
            latent = codec.encode(pictures, level)
            lost = codec.decode(latent, level) - pictures
        errors[channels] = float(lost.square().sum())
        # What the latent holds and what is lost make up the whole, as in any orthonormal basis.
        whole = (pictures - 128 / 255).square().sum()
        held = (latent * STEP).square().sum()
        torch.testing.assert_close(held + errors[channels], whole, rtol=1e-3, atol=0)
    assert errors[24] < 1e-6 * pictures.numel() < errors[18]


@BOTH
def test_smooth_pictures_come_back_from_unrounded_latents(network: Network) -> None:
    # 192 channels are more than the decoder's 160 at stride 16.
    pictures = smooth_pictures()
    errors = []
    for channels in (24, 64, 192):
        codec = linear(network, channels, pictures)
        level = at(codec, pictures)
        with torch.no_grad():
            drawn = codec.decode(codec.encode(pictures, level), level)
        errors.append(float((drawn - pictures).square().mean() / pictures.var()))
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 1e-4


@BOTH
def test_channels_come_with_the_most_energy_first(network: Network) -> None:
    pictures = smooth_pictures()
    codec, _ = start(network, 24, pictures)
    with torch.no_grad():
        latent = codec.encode(pictures, at(codec, pictures))
    energy = latent.square().mean(dim=(0, 2, 3))
    assert energy.tolist() == sorted(energy.tolist(), reverse=True)


@BOTH
def test_it_is_a_function_of_its_arguments(network: Network) -> None:
    pictures = smooth_pictures()
    states = []
    for elsewhere, step in ((1, STEP), (2, STEP), (1, 2 * STEP)):
        torch.manual_seed(0)
        codec, density = network(8), LogisticMixture(8)
        torch.manual_seed(elsewhere)
        warm_start(codec, density, pictures, step)
        states.append({**codec.state_dict(), **density.state_dict()})
    first, again, coarse = states
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    torch.testing.assert_close(coarse["encoder.0.weight"] * 2, first["encoder.0.weight"])
