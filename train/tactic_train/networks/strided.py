"""Our default codec: a strided stem on the node, a heavy residual decoder on the gateway."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from tactic_train.networks.base import Codec


class Residual(nn.Module):
    """Two 3×3 convolutions around a ReLU, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → the same shape."""
        out: Tensor = x + self.body(x)
        return out


class Centred(nn.Conv2d):
    """A convolution of x − centre, so that gradients do not see what all pixels share.

    Activations behind a ReLU have a mean; without this, every step of the weights moves the
    output's mean far more than its shape. Padding stays zero in x, as it is on the node.

    Attributes
    ----------
    centre : float32 (inputs,)
        Fixed, measured before training.
    """

    centre: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, padding=padding)
        self.register_buffer("centre", torch.zeros(inputs))

    def plain_bias(self, weight: Tensor) -> Tensor:
        """Bias of the same function as a plain convolution with ``weight``; (outputs,)."""
        assert self.bias is not None
        return self.bias - weight.sum(dim=(2, 3)) @ self.centre

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) → (N, outputs, h / stride, w / stride)."""
        y: Tensor = self._conv_forward(x, self.weight, self.plain_bias(self.weight))
        return y


class Halving(Centred):
    """3×3 convolution of stride 2, padded by one zero below and to the right only.

    On even sizes this is the padding that TFLite calls SAME, so the node needs no padding step.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) → (N, outputs, h / 2, w / 2)."""
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def _upsample(inputs: int, outputs: int, factor: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs * factor * factor, 1), nn.PixelShuffle(factor))


class StridedCodec(Codec):
    """Stride 16; 1.30 kMAC per pixel on the node with the default widths.

    A patchify stem replaces the convolution at full resolution and the max-pooling that throws
    three of four of its results away.

    Parameters
    ----------
    channels : int
        Channels of the latent.
    widths : (int, int)
        Channels of the encoder at strides 4 and 8 upwards.
    decoder_widths : (int, int, int)
        Channels of the decoder at strides 16, 8 and 4.
    """

    arch: ClassVar[str] = "strided"
    stride: ClassVar[int] = 16
    decoder: nn.Sequential

    def __init__(
        self,
        channels: int = 64,
        widths: tuple[int, int] = (48, 80),
        decoder_widths: tuple[int, int, int] = (160, 96, 48),
    ) -> None:
        super().__init__(channels)
        stem, body = widths
        self.encoder = nn.Sequential(
            Centred(3, stem, 4, stride=4),
            nn.ReLU(),
            Halving(stem, body),
            nn.ReLU(),
            Halving(body, 96),
            nn.ReLU(),
            Centred(96, 96, 3, padding=1),
            nn.ReLU(),
            Centred(96, channels, 1),
        )
        deep, middle, shallow = decoder_widths
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, deep, 1),
            Residual(deep),
            Residual(deep),
            _upsample(deep, middle, 2),
            Residual(middle),
            Residual(middle),
            _upsample(middle, shallow, 2),
            Residual(shallow),
            Residual(shallow),
            nn.Conv2d(shallow, 3 * 16, 3, padding=1),
            nn.PixelShuffle(4),
        )
