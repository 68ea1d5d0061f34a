"""Weights of classes of pixels, so that small things count beside roads and buildings."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tactic_train.errors import DataError
from tactic_train.items import Item

#: masks looked at, spread evenly over the training images
MOST_MASKS = 512


def class_weights(items: tuple[Item, ...], classes: int) -> Tensor:
    """Median frequency balancing.

    Eigen and Fergus, "Predicting Depth, Surface Normals and Semantic Labels with a Common
    Multi-Scale Convolutional Architecture" (2015), section 6.3.2: the median of the classes'
    frequencies over the class's own, which is its share of the pixels of those images that have
    it. Void pixels are left out.

    Parameters
    ----------
    items : tuple of Item
    classes : int

    Returns
    -------
    float32 (classes,)
        1 for a class that does not occur.
    """
    own, around = np.zeros(classes), np.zeros(classes)
    masked = [item.mask for item in items if item.mask]
    for mask in masked[:: max(1, -(-len(masked) // MOST_MASKS))]:
        try:
            values = mask.decode()
        except DataError:
            continue
        counts = np.bincount(values[values >= 0], minlength=classes)
        own += counts
        around += counts.sum() * (counts > 0)
    occurs = own > 0
    frequency = own[occurs] / around[occurs]
    weights = np.ones(classes, np.float32)
    weights[occurs] = np.median(frequency) / frequency if occurs.any() else 1
    return torch.from_numpy(weights)
