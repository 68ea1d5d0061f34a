"""Order of channels, tables, layers."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec import stream
from tactic_export.freeze import PSEUDO_COUNT, entropy_bytes, freeze, freeze_tables
from tactic_export.order import order_channels
from tactic_train.density import LogisticMixture
from tactic_train.step import System


@torch.no_grad()
def test_ordering_keeps_reconstructions_and_rate(
    system: System, pictures: NDArray[np.uint8]
) -> None:
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    former = copy.deepcopy(system)
    order_channels(system, x)
    before, after = former.codec.encode(x), system.codec.encode(x)
    spread = after.var(dim=(0, 2, 3))
    assert not torch.equal(before, after)
    assert (spread[1:] <= spread[:-1]).all()
    torch.testing.assert_close(
        system.codec.decode(after), former.codec.decode(before), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        system.density.bits(after).sum(), former.density.bits(before).sum(), rtol=1e-5, atol=0
    )


def latents(rng: np.random.Generator, side: int) -> NDArray[np.int8]:
    """Channels: always 5; only 0; −1, 0 or 1; wide."""
    shape = (3, side, side)
    channels = [
        np.full(shape, 5),
        np.zeros(shape),
        rng.integers(-1, 2, shape),
        np.round(rng.laplace(0, 8, shape)).clip(-128, 127),
    ]
    return np.stack(channels, axis=1).astype(np.int8)


def test_tables_are_what_was_counted() -> None:
    rng = np.random.default_rng(2)
    batches = [latents(rng, 40), latents(rng, 24)]
    fives, zeros, narrow, wide = freeze_tables(batches, LogisticMixture(4)).tables
    assert (fives.is_constant, fives.lo) == (True, 5)
    assert (zeros.is_constant, zeros.lo) == (True, 0)
    counts = np.bincount(np.concatenate([b[:, 2].ravel() for b in batches]).astype(int) + 1)
    # The density may move at most its own weight of symbols.
    share = PSEUDO_COUNT / counts.sum()
    for symbol, count in zip((-1, 0, 1), counts, strict=True):
        frequency = narrow.freqs[symbol - narrow.lo] / (1 << 14)
        assert abs(frequency - count / counts.sum()) < 2 * share
    assert wide.escape > 0, "what was never seen can still be coded"
    assert wide.lo < -20 < 20 < wide.hi
    tables = freeze_tables(batches, LogisticMixture(4))
    payload = stream.encode(batches[0][0], tables, (2, 2), 2)
    np.testing.assert_array_equal(
        stream.decode(payload, tables, (2, 2), 2, (40, 40)).symbols, batches[0][0]
    )


def test_a_rare_symbol_is_not_taken_for_silence() -> None:
    """One symbol unlike the others makes a channel that is transmitted."""
    batch = np.zeros((1, 1, 50, 50), np.int8)
    batch[0, 0, 3, 3] = 9
    (table,) = freeze_tables([batch], LogisticMixture(1)).tables
    assert not table.is_constant


def test_layers_share_the_channels(strided: System, pictures: NDArray[np.uint8]) -> None:
    assert freeze(copy.deepcopy(strided), pictures, 1).layers == (8,)
    assert freeze(copy.deepcopy(strided), pictures, 3).layers == (3, 3, 2)
    frozen = freeze(strided, pictures, 4)
    assert frozen.layers == (2, 2, 2, 2)
    assert len(frozen.tables) == 8
    real = frozen.tables.ideal_bits(frozen.encoder(pictures)[0]) / 8
    assert real < entropy_bytes(frozen.encoder(pictures), strided.density) * 1.2


def test_model_entropy_is_that_of_the_density() -> None:
    density = LogisticMixture(2)
    symbols = np.random.default_rng(1).integers(-3, 4, (2, 2, 4, 4), np.int8)
    bits = 0.0
    with torch.no_grad():
        for picture in symbols:
            bits += float(density.bits(torch.from_numpy(picture[None]).float()).sum())
    assert abs(entropy_bytes(symbols, density) - bits / 8 / 2) < 1e-3
