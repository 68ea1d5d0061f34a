"""The paper's codec: two convolutions with max-pooling, three up-convolutions.

Kept as the reference. What the paper leaves open is listed in ``docs/paper-assumptions.md``.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from tactic_train.networks.base import Codec


class PaperCodec(Codec):
    """Encoder 2 × (convolution – ReLU – max-pool), decoder 3 × (up-convolution – ReLU).

    Parameters
    ----------
    channels : int
        Channels of the latent.
    levels : int
    width : int
        Channels between the two convolutions and inside the decoder.
    """

    arch: ClassVar[str] = "paper"
    stride: ClassVar[int] = 4
    first_step: ClassVar[float] = 1 / 16

    def __init__(self, channels: int = 16, levels: int = 1, width: int = 32) -> None:
        super().__init__(channels, levels)
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        last = nn.ConvTranspose2d(width, 3, 2, stride=2)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(channels + self.planes, width, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 2, stride=2),
            nn.ReLU(),
            last,
            nn.ReLU(),
        )
        # From black, the last ReLU would pass no gradient: a colour could stay black for ever.
        assert last.bias is not None
        nn.init.constant_(last.bias, 0.5)
