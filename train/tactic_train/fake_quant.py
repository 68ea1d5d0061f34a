"""Quantisation-aware training: the encoder as the device will compute it, with gradients.

Weights lie on a symmetric int8 grid per output channel, activations behind a ReLU on one of 256
steps a tensor, as in Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (2018), section 3. Gradients pass through the rounding.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call

from tactic_train.networks import Codec, per_channel

_SMALLEST = 1e-9


def encode_on_grid(codec: Codec, picture: Tensor, level: Tensor) -> Tensor:
    """Analysis transform with the rounding of int8 inside; the latent itself is not rounded.

    Parameters
    ----------
    codec : Codec
    picture : float32 (N, 3, H, W) in [0, 1]
    level : int64 (N, C)

    Returns
    -------
    float32 (N, C, H / stride, W / stride)
    """
    x = picture - codec.zero / 255
    for module in codec.encoder:
        if isinstance(module, nn.Conv2d):
            x = functional_call(module, {"weight": on_weight_grid(module.weight)}, (x,))
        elif isinstance(module, nn.ReLU):
            x = on_activation_grid(module(x))
        else:
            x = module(x)
    return x / per_channel(codec.steps(), level)


def on_weight_grid(weight: Tensor) -> Tensor:
    """Round to −127 … 127 steps of each output channel's largest weight; (outputs, …)."""
    largest = weight.detach().abs().flatten(1).amax(dim=1).clamp_min(_SMALLEST)
    return _round((largest / 127).view(-1, *[1] * (weight.dim() - 1)), weight)


def on_activation_grid(x: Tensor) -> Tensor:
    """Round to 255 steps between 0 and the largest value of the batch; x is not negative."""
    return _round(x.detach().amax().clamp_min(_SMALLEST) / 255, x)


def _round(step: Tensor, x: Tensor) -> Tensor:
    return x + ((x / step).round() * step - x).detach()
