"""The encoder on the int8 grid: few levels, nearly the same latents, gradients as without."""

from __future__ import annotations

import pytest
import torch

from tactic_train.fake_quant import encode_on_grid, on_activation_grid, on_weight_grid
from tactic_train.networks import Codec, LappedCodec, PaperCodec


def test_weights_take_at_most_255_levels_of_their_channel() -> None:
    weight = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    steps = on_weight_grid(weight) * 127 / weight.abs().amax(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    assert steps.abs().max() <= 127 + 1e-3


def test_activations_take_at_most_256_levels() -> None:
    x = torch.rand(8, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    assert len(set(on_activation_grid(x).flatten().tolist())) <= 256
    assert on_activation_grid(torch.zeros(1, 1, 2, 2)).abs().sum() == 0


@pytest.mark.parametrize("network", [LappedCodec, PaperCodec])
def test_latents_stay_near_and_gradients_pass(network: type[Codec]) -> None:
    torch.manual_seed(0)
    codec = network(8, levels=3)
    picture = torch.rand(1, 3, 32, 32).expand(2, -1, -1, -1)
    level = torch.tensor([0, 2])[:, None].expand(-1, 8)
    exact, rounded = codec.encode(picture, level), encode_on_grid(codec, picture, level)
    assert 0 < (rounded - exact).abs().max() < 0.05 * exact.abs().max()
    torch.testing.assert_close(rounded[1] * 3, rounded[0])
    torch.autograd.backward(rounded.square().sum())
    weights = [p.grad for p in codec.encoder.parameters()]
    assert all(g is not None and g.abs().sum() > 0 for g in weights)
