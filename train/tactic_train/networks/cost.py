"""What an encoder costs on the node."""

from __future__ import annotations

from torch import nn

from tactic_train.networks.base import Codec


def macs_per_pixel(codec: Codec) -> float:
    """Multiply-accumulates of the encoder per pixel of the source picture."""
    total, stride = 0.0, 1
    for layer in codec.encoder:
        if isinstance(layer, nn.Conv2d):
            stride *= layer.stride[0]
            total += layer.weight.numel() / stride**2
        elif isinstance(layer, nn.MaxPool2d):
            assert isinstance(layer.stride, int)
            stride *= layer.stride
    return total
