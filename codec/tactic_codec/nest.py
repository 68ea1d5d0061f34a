"""Nested rate levels: a coarse latent, and what refines it to finer ones.

The quantisation steps of level k + 2 are three times those of level k, so each of its cells holds
three whole cells of level k. Levels 0, 2, 4 … are a *chain*, levels 1, 3, 5 … another. A frame's
stream codes planes: the channels at the coarsest level of its chain, then for each finer level a
refinement of -1, 0 or 1 for every symbol. So whatever planes of a stream arrive, they are a whole
latent, some channels of it finer than others. Normative text: ``docs/wire-format.md``, "Layers".
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tactic_codec.types import Latent

NEST = 3
#: 127 is refined by 1; -128 would leave int8
LARGEST = 127


def chain(level: int) -> int:
    """Number of the chain that a rate level belongs to: 0 or 1."""
    return level % 2


def chains(levels: int) -> int:
    """How many chains so many rate levels make up: 1 or 2."""
    return min(2, levels)


def layers(level: int, levels: int) -> int:
    """How many layers a stream of a level has, 1 … 4: its own and those of coarser levels."""
    return (levels - 1 - level) // 2 + 1


def coarsen(symbols: NDArray[np.int8], times: int) -> NDArray[np.int8]:
    """Symbols of level k + 2 · ``times`` from those of level k; int8 of the same shape."""
    return _look_up(symbols, _steps(times)[-1].tobytes())


def split(symbols: NDArray[np.int8], count: int) -> NDArray[np.int8]:
    """The planes of a latent, the coarsest layer first.

    Parameters
    ----------
    symbols : int8 array (..., C, h, w)
        Of the level that is sent; -128 counts as -127.
    count : int
        Layers of that level.

    Returns
    -------
    int8 array (..., count · C, h, w)
    """
    return np.concatenate([_look_up(symbols, table) for table in _layers(count)], axis=-3)


def _look_up(symbols: NDArray[np.int8], table: bytes) -> NDArray[np.int8]:
    """What the table has at each symbol, read as uint8."""
    # bytes.translate is several times as fast as NumPy's indexing, and that as arithmetic.
    found = bytearray(symbols.tobytes()).translate(table)
    return np.frombuffer(found, np.int8).reshape(symbols.shape)


@lru_cache(maxsize=8)
def _steps(times: int) -> list[NDArray[np.int8]]:
    """Each symbol at its own level, and ``times`` levels of its chain coarser."""
    found = np.maximum(np.arange(256, dtype=np.uint8).view(np.int8), -LARGEST).astype(np.int16)
    steps = [found.astype(np.int8)]
    for _ in range(times):
        found = (found + 1) // NEST
        steps.append(found.astype(np.int8))
    return steps


@lru_cache(maxsize=8)
def _layers(count: int) -> tuple[bytes, ...]:
    """What each symbol is in each of so many layers, the coarsest first."""
    steps = _steps(count - 1)
    finer = [fine - np.int8(NEST) * coarse for fine, coarse in pairwise(steps)]
    return tuple(layer.tobytes() for layer in (steps[-1], *reversed(finer)))


def join(planes: NDArray[np.int8], whole: int, channels: int, level: int, levels: int) -> Latent:
    """The latent that the first planes of a stream make up.

    Parameters
    ----------
    planes : int8 array (P, h, w)
    whole : int
        Planes that arrived to their last symbol, 0 … P; the others are not looked at.
    channels : int
        Channels of the latent.
    level : int
        The finest level coded in the stream.
    levels : int
        Rate levels of the bundle.
    """
    coarsest = level + 2 * (layers(level, levels) - 1)
    symbols = np.zeros((channels, *planes.shape[1:]), np.int8)
    found = np.full(channels, levels)
    for first in range(0, whole, channels):
        part = slice(0, min(channels, whole - first))
        refined = planes[first : first + channels][part].astype(np.int16)
        # A damaged stream may refine beyond what an encoder gives.
        total = np.clip(NEST * symbols[part].astype(np.int16) + refined, -LARGEST, LARGEST)
        symbols[part] = total
        found[part] = coarsest - 2 * (first // channels)
    return Latent(symbols, found)
