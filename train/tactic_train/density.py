"""The fitted parametric density of the latents: the rate model of training.

Ballé et al., "End-to-end optimized image compression" (2017), for the noisy relaxation; the mixture
of logistics follows Cheng et al. (2020), one mixture per channel and rate level, static.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from tactic_train.networks.base import Codec, per_channel

_SMALLEST = 1e-9


class LogisticMixture(nn.Module):
    """p(y | level, channel): a mixture of logistics integrated over one quantisation step.

    Parameters
    ----------
    channels : int
    levels : int
    components : int
        Logistics per level and channel.

    Attributes
    ----------
    weight, mean, log_scale : float32 (components, levels, channels)
    """

    def __init__(self, channels: int, levels: int = 1, components: int = 3) -> None:
        super().__init__()
        shape = (components, levels, channels)
        self.weight = nn.Parameter(torch.zeros(shape))
        start = torch.linspace(-1, 1, components)[:, None, None]
        self.mean = nn.Parameter(start.expand(shape).clone())
        self.log_scale = nn.Parameter(torch.zeros(shape))

    @property
    def fresh(self) -> bool:
        """Neither trained nor fitted yet."""
        return not (self.log_scale.any() or self.weight.any())

    @torch.no_grad()
    def fit(self, codec: Codec, pictures: Tensor) -> None:
        """Scales from the spread of every channel: a logistic of variance s²π²/3.

        Parameters
        ----------
        codec : Codec
        pictures : float32 (N, 3, H, W) in [0, 1]
        """
        level = torch.zeros(len(pictures), codec.channels, dtype=torch.int64)
        latent = codec.encode(pictures, level)
        spread = latent.std(dim=(0, 2, 3)) / (codec.steps() / codec.steps()[0])
        shares = torch.tensor([0.5, 1.0, 2.0])[: len(self.log_scale), None, None]
        self.log_scale.copy_(torch.log(shares * spread.clamp_min(0.05) * 3**0.5 / torch.pi))
        self.mean.copy_(latent.mean(dim=(0, 2, 3)) / (codec.steps() / codec.steps()[0]))

    def likelihood(self, latent: Tensor, level: Tensor) -> Tensor:
        """Probability mass of [y − ½, y + ½], eq. 7.

        Parameters
        ----------
        latent : float32 (N, C, h, w)
        level : int64 (N, C)

        Returns
        -------
        float32 (N, C, h, w) in (0, 1]
        """
        total = torch.zeros_like(latent)
        for share, mean, log_scale in zip(
            F.softmax(self.weight, dim=0), self.mean, self.log_scale, strict=True
        ):
            centred = (latent - per_channel(mean, level)).abs()
            rate = per_channel(torch.exp(-log_scale.clamp(-6.0, 6.0)), level)
            mass = torch.sigmoid((0.5 - centred) * rate) - torch.sigmoid((-0.5 - centred) * rate)
            total = total + per_channel(share, level) * mass
        return total.clamp_min(_SMALLEST)

    def bits(self, latent: Tensor, level: Tensor) -> Tensor:
        """−log₂ p(y) of every symbol, eq. 8 before the mean; float32 (N, C, h, w)."""
        return -torch.log2(self.likelihood(latent, level))
