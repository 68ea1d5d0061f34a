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


def clamp(latent: Tensor) -> Tensor:
    """What int8 holds; without it, a codec that pays nothing for its rate outgrows int8."""
    return latent.clamp(-128, 127)


def quantise(latent: Tensor) -> Tensor:
    """Inference, eq. 6: the nearest whole number, clamped to int8."""
    return clamp(latent.round())


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


def task_from_masks(scores: Tensor, masks: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """L_T of segmentation, eq. 10: γ · weighted cross-entropy + (1 − γ) · Dice; float32 (N,).

    Parameters
    ----------
    scores : float32 (N, classes, H, W)
    masks : int64 (N, H, W)
        −1 where a pixel is void; an image that is void everywhere counts as 0.
    weights : float32 (classes,)
    gamma : float
    """
    entropy = weighted_cross_entropy(scores, masks, weights)
    return gamma * entropy + (1 - gamma) * dice(scores, masks)


def weighted_cross_entropy(scores: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
    """Mean over the known pixels of an image, each with its class's weight, nats; (N,)."""
    entropy = F.cross_entropy(scores, masks, weight=weights, ignore_index=-1, reduction="none")
    weight = torch.where(masks < 0, 0, weights[masks.clamp_min(0)])
    return entropy.sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp_min(_SMALLEST)


def dice(scores: Tensor, masks: Tensor) -> Tensor:
    """1 − soft Dice coefficient, mean over the classes that an image has; 0 is equality; (N,).

    Milletari et al., "V-Net" (2016), section 3, with plain sums in the denominator.
    """
    classes = torch.arange(scores.shape[1], device=scores.device)
    truth = masks[:, None] == classes[:, None, None]
    found = scores.softmax(dim=1) * (masks >= 0)[:, None]
    overlap = (found * truth).sum(dim=(2, 3))
    area = truth.sum(dim=(2, 3))
    lost = 1 - 2 * overlap / (found.sum(dim=(2, 3)) + area).clamp_min(_SMALLEST)
    there = area > 0
    return (lost * there).sum(dim=1) / there.sum(dim=1).clamp_min(1)


def task_from_teacher(scores: Tensor, teacher: Tensor) -> Tensor:
    """L_T without labels: KL(head on the picture ‖ head on the reconstruction), nats; (N,).

    Parameters
    ----------
    scores, teacher : float32 (N, classes) or (N, classes, H, W)
        Of pixels, the mean counts.
    """
    divergence = F.kl_div(
        F.log_softmax(scores, dim=1),
        F.log_softmax(teacher, dim=1),
        log_target=True,
        reduction="none",
    )
    return divergence.sum(dim=1).reshape(len(scores), -1).mean(dim=1)


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
