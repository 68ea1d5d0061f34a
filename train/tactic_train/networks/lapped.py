"""Our default codec: one linear convolution on the node, a heavy residual decoder on the gateway.

The encoder is a learned lapped transform. Nothing is rounded between pixel and symbol, so with
weights on the int8 grid the node computes exactly what was trained, by one matrix product.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

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


def _upsample(inputs: int, outputs: int, factor: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs * factor * factor, 1), nn.PixelShuffle(factor))


class LappedCodec(Codec):
    """Stride 16, windows of 32 pixels; 0.77 kMAC per pixel on the node with 64 channels.

    Parameters
    ----------
    channels : int
        Channels of the latent.
    levels : int
    decoder_widths : (int, int, int)
        Channels of the decoder at strides 16, 8 and 4.
    """

    arch: ClassVar[str] = "lapped"
    stride: ClassVar[int] = 16
    zero: ClassVar[int] = 128
    #: each symbol sums thousands of pixels, whose weights all move at once
    encoder_learning_rate: ClassVar[float] = 0.1
    window: ClassVar[int] = 32
    decoder: nn.Sequential

    def __init__(
        self,
        channels: int = 64,
        levels: int = 1,
        decoder_widths: tuple[int, int, int] = (160, 96, 48),
    ) -> None:
        super().__init__(channels, levels)
        overlap = (self.window - self.stride) // 2
        self.encoder = nn.Sequential(
            nn.Conv2d(3, channels, self.window, stride=self.stride, padding=overlap)
        )
        deep, middle, shallow = decoder_widths
        self.decoder = nn.Sequential(
            nn.Conv2d(channels + self.planes, deep, 3, padding=1),
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


class BlockCodec(LappedCodec):
    """The same without overlap: windows of 16 pixels, 0.19 kMAC per pixel on the node."""

    arch: ClassVar[str] = "block"
    window: ClassVar[int] = 16
