"""Freeze a trained codec: encoders in integers, and the entropy models of its streams."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.contexts import SCALE_UNIT, Context, select
from tactic_codec.entropy import EntropyModel
from tactic_codec.reference import References, count, measure
from tactic_codec.tables import LOWEST, SYMBOLS, Table, TableSet
from tactic_export.contexts import COARSE_TABLES, FRACTIONS, LOWEST_BIN, TABLES, fit_contexts
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
#: a refinement of -1 … 1, less a base of -1 … 1
_FURTHEST_REFINEMENT = 2


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """The integers of a bundle before they are written; one encoder and model for each chain.

    ``references`` say what the latents of the training crops look like.
    """

    encoders: tuple[IntegerEncoder, ...]
    models: tuple[EntropyModel, ...]
    levels: int
    references: References | None = None

    def latents(self, level: int, pictures: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Integer latents of pictures (N, H, W, 3) at a rate level, int8 (N, C, h, w)."""
        encoder = self.encoders[nest.chain(level)]
        parts = [encoder(pictures[at : at + _BATCH]) for at in range(0, len(pictures), _BATCH)]
        return nest.coarsen(np.concatenate(parts), level // 2)

    def stream(self, symbols: NDArray[np.int8], level: int) -> bytes:
        """Entropy-code the latent of one picture, int8 (C, h, w), of a rate level."""
        planes = nest.split(symbols, nest.layers(level, self.levels))
        return stream.encode(planes, self.models[nest.chain(level)])


@torch.no_grad()
def freeze(system: System, crops: NDArray[np.uint8], reorder: bool) -> Frozen:
    """Quantise, fit the context models and count the tables on training crops.

    Parameters
    ----------
    system : System
        Its channels are permuted in place where ``reorder`` is set.
    crops : uint8 array (N, side, side, 3)
    reorder : bool
        Order the channels by variance; not for a codec that was trained in an order.
    """
    if reorder:
        some = torch.from_numpy(crops[:CALIBRATION]).permute(0, 3, 1, 2).float() / 255
        order_channels(system, some)
    codec = system.codec
    finest = quantise(codec, crops[:CALIBRATION])
    steps = codec.steps().numpy()
    encoders = tuple(finest.scaled(steps[chain]) for chain in range(nest.chains(codec.levels)))
    bare = Frozen(encoders, (), codec.levels)
    latents = [bare.latents(chain, crops) for chain in range(len(encoders))]
    planes = [
        nest.split(of_crops, nest.layers(chain, codec.levels))
        for chain, of_crops in enumerate(latents)
    ]
    references = [measure(np.stack([count(latent) for latent in each])) for each in latents]
    return replace(
        bare,
        models=freeze_models(planes, codec.channels),
        references=References(encoders=tuple(references)),
    )


def freeze_models(streams: list[NDArray[np.int8]], channels: int) -> tuple[EntropyModel, ...]:
    """The entropy model of every chain; all share one set of tables.

    A plane has either a context, and then the tables that all contexts of its kind share, or one
    table of its own: what costs less.

    Parameters
    ----------
    streams : list of int8 arrays (N, P, h, w)
        Planes of training crops, one array a chain.
    channels : int
        Planes of the first layer; the others are refinements.
    """
    contexts = [fit_contexts(planes, channels) for planes in streams]
    picks = [
        [_pick(planes, number, context) for number, context in enumerate(chosen)]
        for planes, chosen in zip(streams, contexts, strict=True)
    ]
    tables = _shared_tables([pick for chain in picks for pick in chain])
    costs = np.stack([table.bits() for table in tables])
    for chain, planes in enumerate(streams):
        for number, (table, residual) in enumerate(picks[chain]):
            counts = np.bincount(planes[:, number].ravel().astype(int) - LOWEST, minlength=SYMBOLS)
            own = _own_table(counts)
            if counts @ own.bits() <= costs[table, residual].sum():
                contexts[chain][number] = Context(first=len(tables))
                tables.append(own)
    shared = TableSet(tuple(tables))
    return tuple(EntropyModel(shared, tuple(chosen)) for chosen in contexts)


def _pick(
    planes: NDArray[np.int8], number: int, context: Context
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Index of the table, and of the residual in it, of every symbol of a plane; flat."""
    base, table = select(planes, number, context)
    return table.ravel(), ((planes[:, number] - base - LOWEST) % SYMBOLS).ravel()


def _shared_tables(picks: list[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> list[Table]:
    counts = np.zeros((TABLES, SYMBOLS))
    for table, residual in picks:
        counts += np.bincount(table * SYMBOLS + residual, minlength=counts.size).reshape(
            counts.shape
        )
    priors = np.stack([_laplacian(number % COARSE_TABLES) for number in range(TABLES)])
    near = np.abs(np.arange(LOWEST, LOWEST + SYMBOLS)) <= _FURTHEST_REFINEMENT
    priors[COARSE_TABLES:] = np.where(near, priors[COARSE_TABLES:] + 1e-3, 1e-12)
    return [
        Table.from_counts(row + PSEUDO_COUNT * prior, LOWEST)
        for row, prior in zip(counts, priors, strict=True)
    ]


def _own_table(counts: NDArray[np.int64]) -> Table:
    """A table of a plane's own; constant where only one symbol occurs."""
    if np.count_nonzero(counts) == 1:
        return Table.from_counts(counts.astype(float), LOWEST)
    symbols = np.arange(LOWEST, LOWEST + SYMBOLS)
    spread = float(np.abs(symbols) @ counts) / counts.sum()
    return Table.from_counts(counts + PSEUDO_COUNT * _masses(spread, 0.0), LOWEST)


def _laplacian(number: int) -> NDArray[np.float64]:
    """Probability of every residual with one of the shared tables; float64 (256,)."""
    quarter, fraction = divmod(number, FRACTIONS)
    quarter += LOWEST_BIN
    spread = 2.0 ** (quarter // 4) * (1 + (quarter % 4 + 0.5) / 4) / SCALE_UNIT
    return _masses(spread, fraction / FRACTIONS)


def _masses(spread: float, mean: float) -> NDArray[np.float64]:
    """A Laplacian of mean magnitude ``spread`` over whole steps; float64 (256,)."""
    edges = np.arange(LOWEST, LOWEST + SYMBOLS + 1) - 0.5 - mean
    cumulative = 0.5 + 0.5 * np.sign(edges) * -np.expm1(-np.abs(edges) / spread)
    masses: NDArray[np.float64] = np.maximum(np.diff(cumulative), 1e-12)
    return masses


@torch.no_grad()
def entropy_bytes(latents: NDArray[np.int8], density: LogisticMixture, level: int) -> float:
    """Model entropy: mean bytes of one latent under the fitted density, before tables."""
    levels = torch.full(latents.shape[:2], level)
    bits = density.bits(torch.from_numpy(latents.astype(np.float32)), levels).sum()
    return float(bits) / 8 / len(latents)
