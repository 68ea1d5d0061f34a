"""Small untrained systems whose latents look like trained ones, and real photos to run them on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tactic.demo.photos import photos
from tactic_train.density import LogisticMixture
from tactic_train.heads import Head
from tactic_train.networks import BlockCodec, Codec, LappedCodec, PaperCodec
from tactic_train.step import System

CHANNELS = 8
SPREAD = 3.0
LEVELS = 3


class TinyHead(Head):
    """Two convolutions and a mean; five classes."""

    input_px = 32
    labels = ("a", "b", "c", "d", "e")

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 5, 3, stride=2)
        )

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        scores: Tensor = self.body(picture).mean(dim=(2, 3)) * 8
        return [], scores


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pictures() -> NDArray[np.uint8]:
    """Five real photos, 96 × 128, thinned without a filter so that edges stay sharp."""
    thinned = [p.pixels[::2, ::2][:96, :128] for p in itertools.islice(photos(), 5)]
    return np.stack(thinned)


@pytest.fixture(params=["block", "paper"])
def system(request: pytest.FixtureRequest, pictures: NDArray[np.uint8]) -> System:
    """A linear encoder and one with activations in turn."""
    return make_system(request.param, pictures)


@pytest.fixture
def block(pictures: NDArray[np.uint8]) -> System:
    return make_system("block", pictures)


@pytest.fixture
def lapped(pictures: NDArray[np.uint8]) -> System:
    return make_system("lapped", pictures)


@pytest.fixture
def single(pictures: NDArray[np.uint8]) -> System:
    """The paper's codec as the paper has it: one rate level."""
    return make_system("paper", pictures, levels=1)


@torch.no_grad()
def make_system(arch: str, pictures: NDArray[np.uint8], levels: int = LEVELS) -> System:
    """Random weights that keep contrast; the last ones are scaled to latents of a useful range."""
    torch.manual_seed(7)
    codec: Codec
    if arch in ("lapped", "block"):
        made = LappedCodec if arch == "lapped" else BlockCodec
        codec = made(CHANNELS, levels, decoder_widths=(24, 16, 16))
    else:
        codec = PaperCodec(CHANNELS, levels, width=24)
    convolutions = [m for m in codec.encoder if isinstance(m, nn.Conv2d)]
    for module in convolutions:
        nn.init.kaiming_normal_(module.weight)
        module.weight -= module.weight.mean(dim=(1, 2, 3), keepdim=True)
        assert module.bias is not None
        module.bias.uniform_(-0.1, 0.1)
    gain = SPREAD * torch.linspace(0.5, 1.5, CHANNELS) / last_latent(codec, pictures).std((0, 2, 3))
    convolutions[-1].weight *= gain[:, None, None, None]
    # The last convolution is scaled for steps of 1.
    codec.log_step.sub_(math.log(codec.first_step))
    if codec.levels > 1:
        codec.log_step.add_(torch.linspace(-0.1, 0.1, CHANNELS))
    density = LogisticMixture(CHANNELS, levels)
    density.mean.add_(torch.linspace(-1, 1, CHANNELS))
    return System(codec, density, TinyHead()).eval()


def last_latent(codec: Codec, pictures: NDArray[np.uint8]) -> Tensor:
    """What the last convolution gives, before pooling."""
    x = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - codec.zero) / 255
    modules = list(codec.encoder)
    last = max(i for i, module in enumerate(modules) if isinstance(module, nn.Conv2d))
    for module in modules[: last + 1]:
        x = module(x)
    return x
