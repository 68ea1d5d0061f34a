"""Freeze a trained codec: encoders in integers, and the entropy models of its rate levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec.contexts import SCALE_UNIT, Context, select
from tactic_codec.entropy import EntropyModel
from tactic_codec.tables import LOWEST, SYMBOLS, Table, TableSet
from tactic_export.contexts import BINS, FRACTIONS, LOWEST_BIN, fit_contexts
from tactic_export.integer import IntegerEncoder
from tactic_export.order import order_channels
from tactic_export.quantise import quantise
from tactic_train.density import LogisticMixture
from tactic_train.step import System

#: crops for the scales of the activations and the rounding of the weights
CALIBRATION = 256
_BATCH = 16
#: weight of a Laplacian against what was counted, in symbols: it fills the tails
PSEUDO_COUNT = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """The integers of a bundle before they are written; one encoder and model for each level."""

    encoders: tuple[IntegerEncoder, ...]
    models: tuple[EntropyModel, ...]
    layers: tuple[int, ...]


@torch.no_grad()
def freeze(system: System, crops: NDArray[np.uint8], layers: int, reorder: bool) -> Frozen:
    """Quantise, fit the context models and count the tables on training crops.

    Parameters
    ----------
    system : System
        Its channels are permuted in place where ``reorder`` is set.
    crops : uint8 array (N, side, side, 3)
    layers : int
    reorder : bool
        Order the channels by variance; not for a codec that was trained in an order.
    """
    if reorder:
        some = torch.from_numpy(crops[:CALIBRATION]).permute(0, 3, 1, 2).float() / 255
        order_channels(system, some)
    finest = quantise(system.codec, crops[:CALIBRATION])
    encoders = tuple(finest.scaled(steps.numpy()) for steps in system.codec.steps())
    latents = [
        np.concatenate([encoder(crops[at : at + _BATCH]) for at in range(0, len(crops), _BATCH)])
        for encoder in encoders
    ]
    shares = np.array_split(np.arange(system.codec.channels), layers)
    return Frozen(
        encoders, freeze_models(latents, system.density), tuple(len(share) for share in shares)
    )


def freeze_models(
    latents: list[NDArray[np.int8]], density: LogisticMixture
) -> tuple[EntropyModel, ...]:
    """The entropy model of every level; all share one set of tables.

    A channel has either a context, and then the tables that all contexts share, or one table of
    its own: what costs less.

    Parameters
    ----------
    latents : list of int8 arrays (N, C, h, w)
        Integer latents of training crops, one array a level.
    density : LogisticMixture
        Fills the tails of the tables of single channels.
    """
    contexts = [fit_contexts(level) for level in latents]
    picks = [
        [_pick(level, channel, context) for channel, context in enumerate(chosen)]
        for level, chosen in zip(latents, contexts, strict=True)
    ]
    tables = _shared_tables([pick for level in picks for pick in level])
    costs = np.stack([table.bits() for table in tables])
    for number, level in enumerate(latents):
        for channel, (table, residual) in enumerate(picks[number]):
            counts = np.bincount(level[:, channel].ravel().astype(int) - LOWEST, minlength=SYMBOLS)
            own = _own_table(counts, density, number, channel)
            if counts @ own.bits() <= costs[table, residual].sum():
                contexts[number][channel] = Context(first=len(tables))
                tables.append(own)
    shared = TableSet(tuple(tables))
    return tuple(EntropyModel(shared, tuple(chosen)) for chosen in contexts)


def _pick(
    level: NDArray[np.int8], channel: int, context: Context
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Index of the table, and of the residual in it, of every symbol of a channel; flat."""
    base, table = select(level, channel, context)
    return table.ravel(), ((level[:, channel] - base - LOWEST) % SYMBOLS).ravel()


def _shared_tables(picks: list[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> list[Table]:
    counts = np.zeros(BINS * FRACTIONS * SYMBOLS)
    for table, residual in picks:
        counts += np.bincount(table * SYMBOLS + residual, minlength=len(counts))
    rows = counts.reshape(-1, SYMBOLS)
    priors = (_laplacian(*divmod(number, FRACTIONS)) for number in range(len(rows)))
    return [
        Table.from_counts(row + PSEUDO_COUNT * prior, LOWEST)
        for row, prior in zip(rows, priors, strict=True)
    ]


@torch.no_grad()
def _own_table(
    counts: NDArray[np.int64], density: LogisticMixture, level: int, channel: int
) -> Table:
    """A table of a channel's own; constant where only one symbol occurs."""
    if np.count_nonzero(counts) == 1:
        return Table.from_counts(counts.astype(float), LOWEST)
    symbols = torch.arange(LOWEST, LOWEST + SYMBOLS, dtype=torch.float32)
    grid = symbols.expand(1, density.mean.shape[2], 1, SYMBOLS)
    masses = density.likelihood(grid, torch.tensor([level]))[0, channel, 0].double().numpy()
    return Table.from_counts(counts + PSEUDO_COUNT * masses, LOWEST)


def _laplacian(octave_quarter: int, fraction: int) -> NDArray[np.float64]:
    """Probability of every residual, at the spread of a bin; float64 (256,)."""
    quarter = octave_quarter + LOWEST_BIN
    spread = 2.0 ** (quarter // 4) * (1 + (quarter % 4 + 0.5) / 4) / SCALE_UNIT
    edges = np.arange(LOWEST, LOWEST + SYMBOLS + 1) - 0.5 - fraction / FRACTIONS
    cumulative = 0.5 + 0.5 * np.sign(edges) * -np.expm1(-np.abs(edges) / spread)
    masses: NDArray[np.float64] = np.maximum(np.diff(cumulative), 1e-12)
    return masses


@torch.no_grad()
def entropy_bytes(latents: NDArray[np.int8], density: LogisticMixture, level: int) -> float:
    """Model entropy: mean bytes of one latent under the fitted density, before tables."""
    levels = torch.full((len(latents),), level)
    bits = density.bits(torch.from_numpy(latents).float(), levels).sum()
    return float(bits) / 8 / len(latents)
