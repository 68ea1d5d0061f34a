"""Freeze a trained codec: channels in order, the encoder in integers, the density in tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec.tables import HIGHEST, LOWEST, SYMBOLS, Table, TableSet
from tactic_export.integer import IntegerEncoder
from tactic_export.order import order_channels
from tactic_export.quantise import quantise
from tactic_train.density import LogisticMixture
from tactic_train.step import System

#: crops for the scales of the activations
CALIBRATION = 64
_BATCH = 16
#: weight of the density against what was counted, in symbols: it fills the tails
PSEUDO_COUNT = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """The integers of a bundle before they are written."""

    encoder: IntegerEncoder
    tables: TableSet
    layers: tuple[int, ...]


def freeze(system: System, crops: NDArray[np.uint8], layers: int) -> Frozen:
    """Order the channels, quantise, and count the tables on training crops.

    Parameters
    ----------
    system : System
        Its channels are permuted in place.
    crops : uint8 array (N, side, side, 3)
    layers : int
    """
    some = torch.from_numpy(crops[:CALIBRATION]).permute(0, 3, 1, 2).float() / 255
    order_channels(system, some)
    encoder = quantise(system.codec, crops[:CALIBRATION])
    latents = [encoder(crops[at : at + _BATCH]) for at in range(0, len(crops), _BATCH)]
    tables = freeze_tables(latents, system.density)
    shares = np.array_split(np.arange(system.codec.channels), layers)
    return Frozen(encoder, tables, tuple(len(share) for share in shares))


def freeze_tables(latents: list[NDArray[np.int8]], density: LogisticMixture) -> TableSet:
    """One table per channel.

    Parameters
    ----------
    latents : list of int8 arrays (N, C, h, w)
        Integer latents of training crops; sizes may differ between batches.
    density : LogisticMixture
        The fitted density of the C channels.
    """
    channels = latents[0].shape[1]
    counts = np.zeros((channels, SYMBOLS))
    for batch in latents:
        flat = np.moveaxis(batch, 1, 0).reshape(channels, -1).astype(np.int64) - LOWEST
        for channel in range(channels):
            counts[channel] += np.bincount(flat[channel], minlength=SYMBOLS)
    prior = _masses(density)
    silent = (counts > 0).sum(axis=1) == 1
    counts[~silent] += PSEUDO_COUNT * prior[~silent]
    return TableSet(tuple(Table.from_counts(row, LOWEST) for row in counts))


@torch.no_grad()
def _masses(density: LogisticMixture) -> NDArray[np.float64]:
    """p(k | channel) of every int8 symbol, float64 (C, 256)."""
    symbols = torch.arange(LOWEST, HIGHEST + 1, dtype=torch.float32)
    grid = symbols[None, None, None, :].expand(1, density.mean.shape[1], 1, SYMBOLS)
    masses: NDArray[np.float64] = density.likelihood(grid)[0, :, 0].double().numpy()
    return masses


def entropy_bytes(latents: NDArray[np.int8], density: LogisticMixture) -> float:
    """Model entropy: mean bytes of one latent under the fitted density, before tables."""
    with torch.no_grad():
        bits = density.bits(torch.from_numpy(latents).float()).sum()
    return float(bits) / 8 / len(latents)
