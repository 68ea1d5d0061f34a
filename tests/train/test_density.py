"""The density is one: its mass over the whole numbers is 1, and it can be fitted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tactic_train.density import LogisticMixture

ONE, TWO = (torch.zeros(1, channels, dtype=torch.int64) for channels in (1, 2))


@settings(max_examples=20, deadline=None)
@given(mean=st.floats(-20, 20), log_scale=st.floats(-5, 2), weight=st.floats(-3, 3))
def test_mass_over_whole_numbers_is_one(mean: float, log_scale: float, weight: float) -> None:
    density = LogisticMixture(2)
    with torch.no_grad():
        density.mean[0] = mean
        density.log_scale[1] = log_scale
        density.weight[2] = weight
        symbols = torch.arange(-200.0, 201.0).expand(1, 2, 401)[:, :, None]
        mass = density.likelihood(symbols, TWO).sum(dim=(0, 2, 3))
    assert mass.tolist() == pytest.approx([1, 1], abs=1e-3)


def test_bits_are_finite_and_not_negative_anywhere() -> None:
    latent = torch.tensor([-1e6, -128.0, 0.0, 0.3, 127.0, 1e6]).reshape(1, 1, 2, 3)
    bits = LogisticMixture(1).bits(latent, ONE)
    assert torch.isfinite(bits).all()
    assert (bits >= 0).all()


def test_gradient_agrees_with_differences() -> None:
    density = LogisticMixture(2).double()
    latent = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    latent.requires_grad_(True)
    parameters = tuple(density.parameters())
    assert torch.autograd.gradcheck(
        lambda *_: density.bits(latent, TWO).sum(), (latent, *parameters)
    )


def test_fitting_approaches_the_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    latent = 3 * torch.randn(1, 1, 64, 64, generator=generator)
    density = LogisticMixture(1)
    optimiser = torch.optim.Adam(density.parameters(), lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        bits = density.bits(latent, ONE).mean()
        torch.autograd.backward(bits)
        optimiser.step()
    gaussian = 0.5 * torch.log2(torch.tensor(2 * torch.pi * torch.e * (9 + 1 / 12)))
    assert bits.item() == pytest.approx(gaussian.item(), abs=0.05)


def test_every_level_of_every_channel_has_a_density_of_its_own() -> None:
    density = LogisticMixture(2, levels=3)
    latent = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    level = torch.tensor([[2, 2], [0, 0], [1, 1], [0, 1]])
    of_level_1 = level == 1
    before = density.bits(latent, level).detach()
    with torch.no_grad():
        density.log_scale[:, 1] += 1
        density.mean[:, 1] += 2
    after = density.bits(latent, level)
    assert torch.equal(after[~of_level_1], before[~of_level_1])
    assert (after - before)[of_level_1].abs().min() > 1e-3
    torch.autograd.backward(after[3].sum())
    for parameter in density.parameters():
        assert parameter.grad is not None
        moved = (parameter.grad != 0).any(dim=0)
        assert moved.tolist() == [[True, False], [False, True], [False, False]]
