"""Shapes, strides and cost of the codecs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tactic_train.density import LogisticMixture
from tactic_train.networks import ARCHITECTURES, Codec, macs_per_pixel
from tactic_train.networks.strided import StridedCodec
from tactic_train.warm_start import warm_start

ALL = pytest.mark.parametrize("arch", sorted(ARCHITECTURES))


def make(arch: str) -> Codec:
    torch.manual_seed(0)
    return ARCHITECTURES[arch](channels=6)


@ALL
@pytest.mark.parametrize("size", [(32, 32), (48, 80)])
def test_shapes(arch: str, size: tuple[int, int]) -> None:
    codec = make(arch)
    height, width = size
    with torch.no_grad():
        latent = codec.encode(torch.rand(2, 3, height, width))
        assert latent.shape == (2, 6, height // codec.stride, width // codec.stride)
        assert codec.decode(latent).shape == (2, 3, height, width)


@ALL
def test_the_encoder_is_built_of_what_the_int8_graph_expresses(arch: str) -> None:
    allowed = (nn.Conv2d, nn.ReLU, nn.MaxPool2d)
    assert all(isinstance(layer, allowed) for layer in make(arch).encoder)


@ALL
def test_every_weight_gets_a_gradient(arch: str) -> None:
    codec = make(arch)
    picture = codec.decode(codec.encode(torch.rand(2, 3, 32, 32)))
    torch.autograd.backward(picture.square().mean())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in codec.parameters())


def test_the_papers_decoder_starts_away_from_black() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        drawn = ARCHITECTURES["paper"](channels=16).decode(torch.zeros(1, 16, 4, 4))
        assert drawn.amin() > 0.1


@ALL
def test_names_are_their_own(arch: str) -> None:
    assert ARCHITECTURES[arch].arch == arch


def test_cost_on_the_node() -> None:
    assert macs_per_pixel(ARCHITECTURES["strided"](channels=64)) <= 1400
    assert macs_per_pixel(ARCHITECTURES["paper"](channels=16)) == 3 * 32 * 9 + 32 * 16 * 9 / 4


def smooth_pictures() -> torch.Tensor:
    coarse = torch.rand(192, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(coarse, (64, 64), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("channels", [24, 128])
def test_the_warm_start_already_draws(channels: int) -> None:
    torch.manual_seed(0)
    codec, density = StridedCodec(channels), LogisticMixture(channels)
    pictures = smooth_pictures()
    warm_start(codec, density, pictures, seed=1)
    with torch.no_grad():
        latent = codec.encode(pictures[:16])
        error = (codec.decode(latent.round()) - pictures[:16]).square().mean()
        assert error < 0.2 * pictures.var()
        assert density.bits(latent.round()).mean() < 4


def test_the_warm_start_is_a_function_of_its_arguments() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        codec = StridedCodec(8)
        warm_start(codec, LogisticMixture(8), smooth_pictures(), seed=1)
        states.append(codec.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
