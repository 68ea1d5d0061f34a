"""What every codec network offers to the loop and to the export."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


class Codec(nn.Module):
    """An encoder and a decoder around a latent, with one or several rate levels.

    All levels share encoder and decoder. A level has a quantisation step of its own for each
    channel, as in Cui et al., "Asymmetric Gained Deep Image Compression With Continuous Rate
    Adaptation" (2021); the finest one's is one. Where there are several, the decoder is told the
    level by as many constant planes, of which one is 1.

    Parameters
    ----------
    channels : int
        Channels of the latent.
    levels : tuple of float
        Steps at the start, relative to the first, which is 1.

    Attributes
    ----------
    stride : int
        Pixels of the picture per symbol of the latent, along each side.
    zero : int
        Pixel value, 0 … 255, that the encoder sees as zero and pads with.
    encoder_learning_rate : float
        Learning rate of the encoder, relative to the rest.
    encoder : nn.Sequential
        float32 (N, 3, H, W) to float32 (N, channels, H / stride, W / stride). Built of
        ``Conv2d``, ``ReLU`` and ``MaxPool2d`` only: what the int8 graph can express.
    decoder : nn.Module
        float32 (N, channels + planes, h, w) to float32 (N, 3, h · stride, w · stride), not clamped.
    """

    arch: ClassVar[str]
    stride: ClassVar[int]
    zero: ClassVar[int] = 0
    encoder_learning_rate: ClassVar[float] = 1.0
    encoder: nn.Sequential
    decoder: nn.Module
    levels: Tensor
    log_step: nn.Parameter | None

    def __init__(self, channels: int, levels: tuple[float, ...] = (1.0,)) -> None:
        super().__init__()
        self.channels = channels
        self.planes = len(levels) if len(levels) > 1 else 0
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        coarser = torch.tensor(levels[1:]).log()[:, None].repeat(1, channels)
        self.register_parameter("log_step", nn.Parameter(coarser) if self.planes else None)

    def steps(self) -> Tensor:
        """Quantisation steps in units of the finest one's; float32 (levels, channels)."""
        finest = self.levels.new_ones(1, self.channels)
        return finest if self.log_step is None else torch.cat([finest, self.log_step.exp()])

    def encode(self, picture: Tensor, level: Tensor) -> Tensor:
        """Analysis transform, eq. 1: latent before quantisation, in steps of its level.

        Parameters
        ----------
        picture : float32 (N, 3, H, W) in [0, 1]
        level : int64 (N,)
            0 is the finest.
        """
        latent: Tensor = self.encoder(picture - self.zero / 255)
        return latent / self.steps()[level][:, :, None, None]

    def decode(self, latent: Tensor, level: Tensor) -> Tensor:
        """Synthesis transform, eq. 2: reconstruction in [0, 1], not clamped.

        Parameters
        ----------
        latent : float32 (N, channels, h, w) of whole numbers
        level : int64 (N,)
        """
        x = latent * self.steps()[level][:, :, None, None]
        if self.planes:
            told = torch.eye(self.planes, device=x.device)[level][:, :, None, None]
            x = torch.cat([x, told.expand(-1, -1, *x.shape[-2:])], dim=1)
        picture: Tensor = self.decoder(x)
        return picture
