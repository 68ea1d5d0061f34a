"""What is compared: one codec at one setting, and what it makes of a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pictures = list[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A picture that went through a codec.

    Attributes
    ----------
    pixels : uint8 array (H, W, 3)
        Of the size of the original.
    bytes : int
        Of the whole file or packet.
    bytes_stripped : int
        Without the fixed header; the rules are in :mod:`tactic.evaluate.headers`.
    """

    pixels: NDArray[np.uint8]
    bytes: int
    bytes_stripped: int


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """One point of a codec's curve.

    Attributes
    ----------
    codec : str
        Name of the curve.
    knobs : dict
        What distinguishes the point from others of the curve, as it stands in the JSON.
    code : callable list of uint8 (H, W, 3) -> list of Coded
    """

    codec: str
    knobs: dict[str, int | float]
    code: Callable[[Pictures], list[Coded]]
