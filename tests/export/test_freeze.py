"""Order of channels, tables, layers."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec import stream
from tactic_export.freeze import entropy_bytes, freeze, freeze_models
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
    level = torch.arange(len(x)) % 2
    before, after = former.codec.encode(x, level), system.codec.encode(x, level)
    spread = system.codec.encode(x, torch.zeros_like(level)).var(dim=(0, 2, 3))
    assert not torch.equal(before, after)
    assert (spread[1:] <= spread[:-1]).all()
    torch.testing.assert_close(
        system.codec.decode(after, level), former.codec.decode(before, level), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        system.density.bits(after, level).sum(),
        former.density.bits(before, level).sum(),
        rtol=1e-5,
        atol=0,
    )


def latents(rng: np.random.Generator) -> NDArray[np.int8]:
    """Channels: always 5; only 0; a slow wave; one that is loud where the wave is high."""
    shape = (40, 12, 12)
    y, x = np.mgrid[:12, :12] / 6
    wave = 9 * np.sin(y + x + rng.uniform(0, 6, (40, 1, 1))) + rng.normal(0, 0.4, shape)
    loud = rng.laplace(0, 0.1 + np.abs(wave) / 3)
    channels = [np.full(shape, 5), np.zeros(shape), wave, loud]
    rounded: NDArray[np.int8] = np.rint(np.stack(channels, axis=1)).astype(np.int8)
    return rounded


def test_contexts_save_where_symbols_foretell_symbols() -> None:
    rng = np.random.default_rng(2)
    training, other = latents(rng), latents(rng)
    (model,) = freeze_models([training], LogisticMixture(4))
    fives, zeros, wave, loud = model.contexts
    assert [model.constant(c) for c in range(4)] == [5, 0, None, None]
    assert not fives.mean and not zeros.scale
    assert any(tap.channel == 2 for tap in wave.mean)
    assert any(tap[:3] == (2, 0, 0) for tap in loud.scale)
    coded = [len(stream.encode(each, model, (2, 2), 2)) for each in other]
    counts = [np.bincount(other[:, c].ravel().astype(int) + 128) for c in (2, 3)]
    shares = [count[count > 0] / count.sum() for count in counts]
    alone = sum(float(-(share * np.log2(share)).sum()) for share in shares) * 144 / 8
    assert np.mean(coded) < 0.8 * alone
    decoded = stream.decode(stream.encode(other[0], model, (2, 2), 2), model, (2, 2), 2, (12, 12))
    np.testing.assert_array_equal(decoded.symbols, other[0])


def test_what_was_never_seen_can_still_be_coded() -> None:
    rng = np.random.default_rng(2)
    (model,) = freeze_models([latents(rng)], LogisticMixture(4))
    wild = rng.integers(-128, 128, (4, 12, 12), np.int8)
    decoded = stream.decode(stream.encode(wild, model, (2, 2), 2), model, (2, 2), 2, (12, 12))
    np.testing.assert_array_equal(decoded.symbols[2:], wild[2:])
    np.testing.assert_array_equal(decoded.symbols[:2], latents(rng)[0, :2])


def test_a_rare_symbol_is_not_taken_for_silence() -> None:
    """One symbol unlike the others makes a channel that is transmitted."""
    batch = np.zeros((1, 1, 50, 50), np.int8)
    batch[0, 0, 3, 3] = 9
    (model,) = freeze_models([batch], LogisticMixture(1))
    assert model.constant(0) is None


def test_levels_and_layers(block: System, pictures: NDArray[np.uint8]) -> None:
    assert freeze(copy.deepcopy(block), pictures, 1, reorder=False).layers == (8,)
    assert freeze(copy.deepcopy(block), pictures, 3, reorder=True).layers == (3, 3, 2)
    frozen = freeze(block, pictures, 4, reorder=False)
    assert frozen.layers == (2, 2, 2, 2)
    assert len(frozen.models) == len(frozen.encoders) == 2
    assert frozen.models[0].tables is frozen.models[1].tables
    sizes = []
    for level, (encoder, model) in enumerate(zip(frozen.encoders, frozen.models, strict=True)):
        found = encoder(pictures)
        real = np.mean([model.ideal_bits(each) / 8 for each in found])
        assert real < entropy_bytes(found, block.density, level)
        sizes.append(real)
    assert sizes[1] < 0.85 * sizes[0]


def test_model_entropy_is_that_of_the_density() -> None:
    density = LogisticMixture(2, levels=2)
    with torch.no_grad():
        density.log_scale[:, 1] += 1
    symbols = np.random.default_rng(1).integers(-3, 4, (2, 2, 4, 4), np.int8)
    level, bits = torch.ones(1, dtype=torch.int64), 0.0
    with torch.no_grad():
        for picture in symbols:
            bits += float(density.bits(torch.from_numpy(picture[None]).float(), level).sum())
    assert abs(entropy_bytes(symbols, density, 1) - bits / 8 / 2) < 1e-3
    assert entropy_bytes(symbols, density, 0) != entropy_bytes(symbols, density, 1)
