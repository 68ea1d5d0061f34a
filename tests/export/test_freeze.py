"""Order of channels, contexts and tables, levels."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.tables import LOWEST
from tactic_export.contexts import COARSE_TABLES, TABLES
from tactic_export.freeze import entropy_bytes, freeze, freeze_models
from tactic_export.order import order_channels
from tactic_train.density import LogisticMixture
from tactic_train.step import System


@torch.no_grad()
def test_ordering_keeps_reconstructions_and_rate(
    system: System, pictures: NDArray[np.uint8]
) -> None:
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    former, channels = copy.deepcopy(system), system.codec.channels
    order_channels(system, x)
    finest = torch.zeros(len(x), channels, dtype=torch.int64)
    spread = former.codec.encode(x, finest).var(dim=(0, 2, 3))
    order = torch.argsort(spread, descending=True)
    assert not torch.equal(order, torch.arange(channels))
    # Any level a channel, or none: it moves with its channel.
    was = torch.from_numpy(np.random.default_rng(1).integers(0, 4, (len(x), channels)))
    level = was[:, order]
    before, after = former.codec.encode(x, was), system.codec.encode(x, level)
    torch.testing.assert_close(after, before[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        system.codec.decode(after, level), former.codec.decode(before, was), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        system.density.bits(after, level).sum(),
        former.density.bits(before, was).sum(),
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


def alone(planes: NDArray[np.int8]) -> float:
    """Entropy of the symbols of each plane on their own, mean bytes of a picture."""
    bits = 0.0
    for number in range(planes.shape[1]):
        count = np.bincount(planes[:, number].ravel().astype(int) - LOWEST)
        share = count[count > 0] / count.sum()
        bits -= float(count[count > 0] @ np.log2(share))
    return bits / 8 / len(planes)


def test_contexts_save_where_symbols_foretell_symbols() -> None:
    rng = np.random.default_rng(2)
    training, other = latents(rng), latents(rng)
    (model,) = freeze_models([training], 4)
    fives, zeros, wave, loud = model.contexts
    assert [model.constant(c) for c in range(4)] == [5, 0, None, None]
    assert not fives.mean and not zeros.scale
    assert any(tap.channel == 2 for tap in wave.mean)
    assert any(tap[:3] == (2, 0, 0) for tap in loud.scale)
    coded = [len(stream.encode(each, model)) for each in other]
    assert np.mean(coded) < 0.8 * alone(other)
    decoded = stream.decode(stream.encode(other[0], model), model, other[0].shape)
    np.testing.assert_array_equal(decoded.planes, other[0])


def test_refinements_see_the_coarser_symbols_on_all_sides() -> None:
    rng = np.random.default_rng(2)
    training, other = (nest.split(latents(rng), 2) for _ in range(2))
    (model,) = freeze_models([training], 4)
    coarse, fine = range(COARSE_TABLES), range(COARSE_TABLES, TABLES)
    for plane, context in enumerate(model.contexts):
        shared = coarse if plane < 4 else fine
        assert context.is_static or {*context.tables} <= {*shared}
    for plane in (6, 7):
        taps = model.contexts[plane].mean + model.contexts[plane].scale
        assert any(tap.channel == plane - 4 and (tap.dy, tap.dx) > (0, 0) for tap in taps)
    coded = np.mean([len(stream.encode(each, model)) for each in other])
    assert coded < 0.8 * alone(other)
    # What nesting costs: the finer level as one layer of its own is not much smaller.
    (plain,) = freeze_models([latents(np.random.default_rng(2))], 4)
    whole = nest.join(other[0], 8, 4, 0, 3).symbols
    assert len(stream.encode(other[0], model)) < 1.1 * len(stream.encode(whole, plain))


def test_what_was_never_seen_can_still_be_coded() -> None:
    rng = np.random.default_rng(2)
    (model,) = freeze_models([nest.split(latents(rng), 2)], 4)
    wild = rng.integers(-128, 128, (8, 12, 12), np.int8)
    decoded = stream.decode(stream.encode(wild, model), model, wild.shape)
    seen = [plane for plane in range(8) if model.constant(plane) is None]
    assert {2, 3, 6, 7} <= set(seen)
    np.testing.assert_array_equal(decoded.planes[seen], wild[seen])
    np.testing.assert_array_equal(decoded.planes, model.settled(wild))


def test_a_rare_symbol_is_not_taken_for_silence() -> None:
    """One symbol unlike the others makes a plane that is transmitted."""
    batch = np.zeros((1, 2, 50, 50), np.int8)
    batch[0, 0, 3, 3] = 9
    batch[0, 1, 5, 5] = 1
    (model,) = freeze_models([batch], 1)
    assert [model.constant(plane) for plane in range(2)] == [None, None]


def test_levels_nest_in_the_streams_of_two_chains(
    block: System, pictures: NDArray[np.uint8]
) -> None:
    frozen = freeze(block, pictures, reorder=False)
    assert [len(model.contexts) for model in frozen.models] == [16, 8]
    assert len(frozen.encoders) == 2
    assert frozen.models[0].tables is frozen.models[1].tables
    sizes = []
    for level in range(3):
        found = frozen.latents(level, pictures)
        model = frozen.models[nest.chain(level)]
        planes = nest.split(found, nest.layers(level, 3))
        assert [frozen.stream(each, level) for each in found] == [
            stream.encode(each, model) for each in planes
        ]
        real = np.mean([model.ideal_bits(each) / 8 for each in planes])
        assert real < entropy_bytes(found, block.density, level)
        sizes.append(real)
    np.testing.assert_array_equal(
        frozen.latents(2, pictures), nest.coarsen(frozen.latents(0, pictures), 1)
    )
    assert sizes[1] < 0.85 * sizes[0]
    assert sizes[2] < 0.85 * sizes[1]


def test_a_single_level_has_one_layer(single: System, pictures: NDArray[np.uint8]) -> None:
    frozen = freeze(single, pictures, reorder=True)
    assert (frozen.levels, len(frozen.encoders)) == (1, 1)
    assert [len(model.contexts) for model in frozen.models] == [single.codec.channels]
    latent = frozen.latents(0, pictures)[0]
    decoded = stream.decode(frozen.stream(latent, 0), frozen.models[0], latent.shape)
    np.testing.assert_array_equal(decoded.planes, latent)


def test_order_is_by_variance_only_where_it_is_asked_for(
    block: System, pictures: NDArray[np.uint8]
) -> None:
    kept, ordered = copy.deepcopy(block), copy.deepcopy(block)
    spread = freeze(kept, pictures, reorder=False).latents(0, pictures).var(axis=(0, 2, 3))
    by_variance = freeze(ordered, pictures, reorder=True).latents(0, pictures).var(axis=(0, 2, 3))
    assert (np.diff(spread) > 0).any()
    assert (np.diff(by_variance) < 0.02 * by_variance[0]).all()


def test_model_entropy_is_that_of_the_density() -> None:
    density = LogisticMixture(2, levels=2)
    with torch.no_grad():
        density.log_scale[:, 1] += 1
    symbols = np.random.default_rng(1).integers(-3, 4, (2, 2, 4, 4), np.int8)
    level, bits = torch.ones(1, 2, dtype=torch.int64), 0.0
    with torch.no_grad():
        for picture in symbols:
            bits += float(density.bits(torch.from_numpy(picture[None]).float(), level).sum())
    assert abs(entropy_bytes(symbols, density, 1) - bits / 8 / 2) < 1e-3
    assert entropy_bytes(symbols, density, 0) != entropy_bytes(symbols, density, 1)
