"""Freeze the fitted density into integer tables, from the integer encoder's own symbols."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec.tables import HIGHEST, LOWEST, SYMBOLS, Table, TableSet
from tactic_train.density import LogisticMixture

#: weight of the density against what was counted, in symbols: it fills the tails
PSEUDO_COUNT = 16.0


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
