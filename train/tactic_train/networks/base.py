"""What every codec network offers to the loop and to the export."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Codec(nn.Module):
    """An encoder and a decoder around a latent whose quantisation step is one.

    Attributes
    ----------
    stride : int
        Pixels of the picture per symbol of the latent, along each side.
    channels : int
        Channels of the latent.
    encoder : nn.Sequential
        float32 (N, 3, H, W) in [0, 1] to float32 (N, channels, H / stride, W / stride). Built of
        ``Conv2d``, ``ReLU`` and ``MaxPool2d`` only: what the int8 graph can express.
    decoder : nn.Module
        float32 (N, channels, h, w) of whole numbers to float32 (N, 3, h · stride, w · stride),
        not clamped.
    """

    arch: ClassVar[str]
    stride: ClassVar[int]
    encoder: nn.Sequential
    decoder: nn.Module

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def encode(self, picture: Tensor) -> Tensor:
        """Analysis transform, eq. 1: latent before quantisation."""
        latent: Tensor = self.encoder(picture)
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Synthesis transform, eq. 2: reconstruction in [0, 1], not clamped."""
        picture: Tensor = self.decoder(latent)
        return picture
