"""What every codec network offers to the loop and to the export."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

#: ratio of the steps of level k + 2 to those of level k
NEST = 3


class Codec(nn.Module):
    """An encoder and a decoder around a latent, with one or several rate levels.

    All levels share encoder and decoder; a level has quantisation steps of its own. Those of level
    k + 2 are three times those of level k, so that each of its cells holds three whole cells of
    level k: the finer latent is the coarser one and a refinement of −1, 0 or 1. Levels 0 and 1 are
    about √3 apart. Each channel learns the steps of these two, as the gains of Cui et al.,
    "Asymmetric Gained Deep Image Compression With Continuous Rate Adaptation" (2021): the many
    weights of the encoder could only follow slowly.

    Each channel of each image has a level: where a refinement is cut short, its last channels stay
    two levels coarser. Level ``levels`` stands for a channel that is not sent. The decoder is told
    the mean level by constant planes, one a level, between which it lies.

    Parameters
    ----------
    channels : int
        Channels of the latent.
    levels : int
        Rate levels; 0 is the finest.

    Attributes
    ----------
    stride : int
        Pixels of the picture per symbol of the latent, along each side.
    zero : int
        Pixel value, 0 … 255, that the encoder sees as zero and pads with.
    encoder_learning_rate : float
        Learning rate of the encoder, relative to the rest.
    first_step : float
        Quantisation step of the finest level before any training, in units of the encoder's output.
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
    first_step: ClassVar[float] = 1.0
    encoder: nn.Sequential
    decoder: nn.Module
    numbers: Tensor
    log_step: nn.Parameter

    def __init__(self, channels: int, levels: int = 1) -> None:
        super().__init__()
        self.channels = channels
        self.levels = levels
        self.planes = levels if levels > 1 else 0
        self.register_buffer("numbers", torch.arange(levels), persistent=False)
        start = torch.tensor([self.first_step, self.first_step * math.sqrt(NEST)]).log()
        self.log_step = nn.Parameter(start[:levels, None].repeat(1, channels))

    def steps(self) -> Tensor:
        """Quantisation steps in units of the encoder's output; float32 (levels, channels)."""
        steps = list(self.log_step.exp())
        while len(steps) < self.levels:
            steps.append(NEST * steps[-2])
        return torch.stack(steps)

    def encode(self, picture: Tensor, level: Tensor) -> Tensor:
        """Analysis transform, eq. 1: latent before quantisation, in steps of its level.

        Parameters
        ----------
        picture : float32 (N, 3, H, W) in [0, 1]
        level : int64 (N, channels)
            0 is the finest; what is not sent is given at the coarsest.
        """
        latent: Tensor = self.encoder(picture - self.zero / 255)
        return latent / per_channel(self.steps(), level)

    def decode(self, latent: Tensor, level: Tensor) -> Tensor:
        """Synthesis transform, eq. 2: reconstruction in [0, 1], not clamped.

        Parameters
        ----------
        latent : float32 (N, channels, h, w) of whole numbers
        level : int64 (N, channels)
        """
        steps = torch.cat([self.steps(), torch.zeros(1, self.channels, device=latent.device)])
        x = latent * per_channel(steps, level.clamp(max=self.levels))
        if self.planes:
            mean = level.float().mean(dim=1, keepdim=True).clamp(max=self.levels - 1)
            told = (1 - (mean - self.numbers).abs()).clamp(min=0)
            x = torch.cat([x, told[:, :, None, None].expand(-1, -1, *x.shape[-2:])], dim=1)
        picture: Tensor = self.decoder(x)
        return picture


def per_channel(values: Tensor, level: Tensor) -> Tensor:
    """What the channels of each image have at their levels.

    Parameters
    ----------
    values : (levels, channels)
    level : int64 (N, channels)
        Beyond the last of ``values``: its.

    Returns
    -------
    (N, channels, 1, 1)
    """
    return values.gather(0, level.clamp(max=len(values) - 1))[:, :, None, None]
