"""Rate levels and budgets of a node: what its packets hold, and how large they get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_codec import nest, rans, stream
from tactic_codec.bundle import Bundle
from tactic_codec.packet import HEADER_BYTES, Packet, pack
from tactic_codec.rans_twin import STATE_BYTES
from tactic_codec.types import Latent
from tactic_device.coder import Coder
from tactic_device.sources import Shot

GEOMETRY, HEIGHT, WIDTH = 0, 16, 24
LEAST = HEADER_BYTES + STATE_BYTES


class Thinning:
    """Keeps every fourth pixel, like the encoder of the tiny bundle."""

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        kept = pixels[::4, ::4].transpose(2, 0, 1).astype(np.int16) - 128
        return np.ascontiguousarray(kept.astype(np.int8))


def coder(bundle: Bundle, level: int, budget_bytes: int | None = None) -> Coder:
    return Coder(bundle, Thinning(), GEOMETRY, level, budget_bytes)


def shot(rng: np.random.Generator) -> Shot:
    """Noise of any contrast."""
    noise = rng.normal(128, rng.choice([1.0, 8.0, 60.0]), (HEIGHT, WIDTH, 3))
    return Shot(noise.clip(0, 255).astype(np.uint8), 0)


def received(bundle: Bundle, packet: Packet) -> Latent:
    """What a gateway has of the frame."""
    channels, levels = bundle.codec.channels, bundle.codec.levels
    shape = (packet.layers * channels, *bundle.latent_shape(packet))
    found = stream.decode(packet.payload, bundle.models[nest.chain(packet.level)], shape)
    return nest.join(found.planes, found.whole, channels, packet.level, levels)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_packet_holds_the_latent_at_its_level(bundle: Bundle, level: int) -> None:
    picture = shot(np.random.default_rng(level))
    packet = coder(bundle, level).encode(picture)
    found = received(bundle, packet)
    assert (packet.level, packet.layers) == (level, nest.layers(level, bundle.codec.levels))
    assert found.levels.tolist() == [level] * bundle.codec.channels
    expected = nest.coarsen(Thinning().encode(picture.pixels), level // 2)
    np.testing.assert_array_equal(found.symbols, expected)


def test_the_darkest_pixels_count_as_the_next_brighter(bundle: Bundle) -> None:
    black = Shot(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 0)
    assert (Thinning().encode(black.pixels) == -128).all()
    assert (received(bundle, coder(bundle, 0).encode(black)).symbols == -127).all()


def test_every_budget_gives_what_fits(bundle: Bundle) -> None:
    picture = shot(np.random.default_rng(1))
    whole = pack(coder(bundle, 0).encode(picture))
    latent = Thinning().encode(picture.pixels)
    before = np.full(bundle.codec.channels, bundle.codec.levels)
    for budget_bytes in range(LEAST, len(whole) + 3):
        packet = coder(bundle, 0, budget_bytes).encode(picture)
        assert len(pack(packet)) == min(budget_bytes - budget_bytes % 2, len(whole))
        assert (packet.level, packet.layers) == (0, 2)
        found = received(bundle, packet)
        assert (found.levels <= before).all()
        before = found.levels
        for symbols, level, expected in zip(found.symbols, before, latent, strict=True):
            coarse: Any = 0 if level == 3 else nest.coarsen(expected, int(level) // 2)
            assert (symbols == coarse).all()
    assert (before == 0).all()


def test_ten_thousand_frames_keep_their_budgets(bundle: Bundle) -> None:
    """No packet is larger than its budget, and nearly all of a budget is used."""
    rng, free = np.random.default_rng(5), coder(bundle, 0)
    budgets = rng.integers(LEAST, 130, 100).tolist()
    held = [coder(bundle, 0, budget_bytes) for budget_bytes in budgets]
    frames = 10_000 if rans.backend() == "c" else 200
    used = []
    for number in range(frames):
        picture, budget_bytes = shot(rng), budgets[number % len(budgets)]
        whole = HEADER_BYTES + len(free.encode(picture).payload)
        sent = HEADER_BYTES + len(held[number % len(budgets)].encode(picture).payload)
        assert sent <= budget_bytes
        assert sent == whole or whole > budget_bytes
        if whole > budget_bytes:
            used.append(sent / budget_bytes)
    print(f"{frames} frames, none over its budget; {len(used)} cut, {np.mean(used):.1%} used")
    assert len(used) > frames / 4
    assert np.mean(used) >= 0.95
