"""The figures of the TACTIC paper, to stand beside ours: other classes, another head.

Accuracy, as a share, over 50 classes of ImageNet with Inception v3; bits per pixel as published.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A row of Table 1."""

    accuracy: float
    bits_per_pixel: float


class Segmented(NamedTuple):
    """A row of Table 3."""

    accuracy: float
    miou: float


NONE = Published(0.637, 5.2541)
JPEG = {
    50: Published(0.623, 1.1302),
    25: Published(0.615, 0.7365),
    15: Published(0.606, 0.5390),
    10: Published(0.606, 0.4276),
    5: Published(0.582, 0.3010),
    2: Published(0.542, 0.2410),
}
#: β → row
AWARE = {
    1 / 128: Published(0.587, 0.2450),
    1 / 32: Published(0.580, 0.2159),
    1.0: Published(0.578, 0.1278),
    2.0: Published(0.566, 0.0936),
    4.0: Published(0.556, 0.0694),
}
#: Table 2, β = 0: method → accuracy
UNLIMITED = {"none": 0.637, "agnostic": 0.538, "aware": 0.587}
#: Table 3, weighted cross-entropy + Dice
SEGMENTED = {
    "none": Segmented(0.800, 0.410),
    "agnostic": Segmented(0.724, 0.236),
    "aware": Segmented(0.758, 0.285),
}
SEGMENTED_GAMMA = 0.5
