"""Order the channels of a trained codec so that a prefix of them carries most."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tactic_train.step import System


@torch.no_grad()
def order_channels(system: System, pictures: Tensor) -> None:
    """Permute encoder, density and decoder by the variance of the latents, largest first.

    Parameters
    ----------
    system : System
        Changed in place; it computes the same reconstructions as before.
    pictures : float32 (N, 3, H, W) in [0, 1]
    """
    level = torch.zeros(len(pictures), system.codec.channels, dtype=torch.int64)
    spread = system.codec.encode(pictures, level).var(dim=(0, 2, 3))
    order = torch.argsort(spread, descending=True)
    last = [m for m in system.codec.encoder if isinstance(m, nn.Conv2d)][-1]
    first = next(m for m in system.codec.decoder.modules() if isinstance(m, _CONVOLUTIONS))
    assert last.bias is not None
    last.weight.copy_(last.weight[order].clone())
    last.bias.copy_(last.bias[order].clone())
    inputs = 0 if isinstance(first, nn.ConvTranspose2d) else 1
    planes = torch.arange(len(order), first.weight.shape[inputs])
    first.weight.copy_(first.weight.index_select(inputs, torch.cat([order, planes])).clone())
    for parameter in system.density.parameters():
        parameter.copy_(parameter[..., order].clone())
    log_step = system.codec.log_step
    log_step.copy_(log_step[:, order].clone())


_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
