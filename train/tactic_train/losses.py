"""The terms of the TACTIC loss, one small function each.

Every term is a vector with one value for each image of a batch: images may have rate levels of
their own, and the mean over processes with equal shares is the loss of the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

_SMALLEST = 1e-6


def add_noise(latent: Tensor, noise: Tensor) -> Tensor:
    """Training stand-in for rounding, eq. 5: y + u, u uniform in [−½, ½)."""
    return latent + noise


def quantise(latent: Tensor) -> Tensor:
    """Inference, eq. 6: the nearest whole number, clamped to int8."""
    return latent.round().clamp(-128, 127)


def quantise_straight_through(latent: Tensor) -> Tensor:
    """Eq. 6 forwards, the identity backwards."""
    return latent + (quantise(latent) - latent).detach()


def distortion(picture: Tensor, reconstruction: Tensor) -> Tensor:
    """L_D, eq. 3: mean squared error of pixels in [0, 1]; float32 (N,)."""
    return _energy(reconstruction - picture)


def rate(bits: Tensor, pixels: int) -> Tensor:
    """L_R, eq. 8: bits per pixel of the source picture; float32 (N,).

    Parameters
    ----------
    bits : float32 (N, C, h, w)
        −log₂ p of every symbol.
    pixels : int
        Pixels of one source picture.
    """
    return bits.sum(dim=(1, 2, 3)) / pixels


def task_from_labels(scores: Tensor, labels: Tensor) -> Tensor:
    """L_T, eq. 4: cross-entropy of the head on the reconstruction, nats; float32 (N,).

    Parameters
    ----------
    scores : float32 (N, classes)
    labels : int64 (N,)
        −1 where an image has none: it counts as 0.
    """
    return F.cross_entropy(scores, labels, ignore_index=-1, reduction="none")


def task_from_teacher(scores: Tensor, teacher: Tensor) -> Tensor:
    """L_T without labels: KL(head on the picture ‖ head on the reconstruction), nats; (N,)."""
    divergence = F.kl_div(
        F.log_softmax(scores, dim=1),
        F.log_softmax(teacher, dim=1),
        log_target=True,
        reduction="none",
    )
    return divergence.sum(dim=1)


def task_from_features(features: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Relative squared error of the head's inner maps, mean over maps; 0 is equality; (N,).

    Parameters
    ----------
    features, teacher : lists of float32 (N, C, h, w)
    """
    ratios = [
        _energy(ours - theirs) / _energy(theirs).clamp_min(_SMALLEST)
        for ours, theirs in zip(features, teacher, strict=True)
    ]
    return torch.stack(ratios).mean(dim=0)


def _energy(maps: Tensor) -> Tensor:
    return maps.square().mean(dim=(1, 2, 3))


def total(l_d: Tensor, l_t: Tensor, l_r: Tensor, alpha: float, beta: Tensor) -> Tensor:
    """L = L_D + α·L_T + β·L_R, eq. 9; β may differ between the images."""
    return l_d + alpha * l_t + beta * l_r
