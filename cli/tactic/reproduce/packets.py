"""Real bytes of a learned codec's latents: entropy models frozen as for a bundle, whole packets.

The one module here that knows how a bundle codes. Latents are those of the float encoder; that of a
bundle gives the same, but for ties, where the weights already lie on the int8 grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.entropy import EntropyModel, read_models, write_models
from tactic_codec.packet import HEADER_BYTES
from tactic_codec.rans_twin import STATE_BYTES
from tactic_export.freeze import freeze_models
from tactic_train import losses
from tactic_train.checkpoint import replace_file
from tactic_train.step import System

AT_ONCE = 32

Latents = NDArray[np.int8]
Levels = NDArray[np.int64]


class Arrived(NamedTuple):
    """What a gateway has of N frames.

    Attributes
    ----------
    latents : int8 array (N, C, h, w)
    levels : int64 array (N, C)
        Of each channel; the number of levels where nothing of it came.
    sizes : tuple of int
        Bytes of the whole packets.
    """

    latents: Latents
    levels: Levels
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """What node and gateway do to the latents of one rate level.

    Attributes
    ----------
    level, levels, channels : int
    model : EntropyModel
        Of the level's chain.
    """

    level: int
    levels: int
    channels: int
    model: EntropyModel

    @classmethod
    def of(cls, system: System, level: int, models: tuple[EntropyModel, ...]) -> Packets:
        """Those of a codec whose entropy models are frozen."""
        codec = system.codec
        return cls(level, codec.levels, codec.channels, models[nest.chain(level)])

    def through(self, latents: Latents, share: float = 1.0) -> Arrived:
        """Code, leave off the ends of the packets, and decode.

        Parameters
        ----------
        latents : int8 array (N, C, h, w)
            Of this level.
        share : float
            Of each packet's bytes, at most that many are sent.
        """
        layers = nest.layers(self.level, self.levels)
        shape = (layers * self.channels, *latents.shape[2:])
        decoded, sizes = np.empty_like(latents), []
        levels = np.empty(latents.shape[:2], np.int64)
        for number, symbols in enumerate(latents):
            payload = stream.encode(nest.split(symbols, layers), self.model)
            if share < 1:
                most_bytes = int(share * (HEADER_BYTES + len(payload))) - HEADER_BYTES
                payload = stream.cut(payload, max(STATE_BYTES, most_bytes))
            found = stream.decode(payload, self.model, shape)
            latent = nest.join(found.planes, found.whole, self.channels, self.level, self.levels)
            decoded[number], levels[number] = latent.symbols, latent.levels
            sizes.append(HEADER_BYTES + len(payload))
        return Arrived(decoded, levels, tuple(sizes))


def entropy_models(
    system: System, crops: NDArray[np.uint8], path: Path
) -> tuple[EntropyModel, ...]:
    """Freeze the entropy models of a codec, or read them where that was done before.

    Parameters
    ----------
    system : System
    crops : uint8 array (N, H, W, 3)
        Training photos.
    path : Path
        Where the models are kept; all rate levels share them.
    """
    if not path.exists():
        levels = system.codec.levels
        streams = [
            nest.split(encode(system, crops, chain), nest.layers(chain, levels))
            for chain in range(nest.chains(levels))
        ]
        replace_file(path, write_models(freeze_models(streams, system.codec.channels)))
    return read_models(path.read_bytes())


@torch.no_grad()
def encode(system: System, pictures: NDArray[np.uint8], level: int) -> Latents:
    """Latents of pictures (N, H, W, 3), as a node rounds them; int8 (N, C, h, w)."""
    device = next(system.parameters()).device
    parts = []
    for at in range(0, len(pictures), AT_ONCE):
        picture = torch.from_numpy(pictures[at : at + AT_ONCE]).to(device)
        picture = picture.permute(0, 3, 1, 2).float() / 255
        finest = _levels(system, len(picture), nest.chain(level))
        parts.append(losses.quantise(system.codec.encode(picture, finest)).char().cpu().numpy())
    return nest.coarsen(np.concatenate(parts), level // 2)


@torch.no_grad()
def decode(system: System, latents: Latents, level: int | Levels) -> NDArray[np.uint8]:
    """Pictures from latents of one level, or of one for each channel (N, C); uint8 (N, H, W, 3)."""
    device = next(system.parameters()).device
    parts = []
    for at in range(0, len(latents), AT_ONCE):
        latent = torch.from_numpy(latents[at : at + AT_ONCE]).to(device).float()
        if isinstance(level, int):
            levels = _levels(system, len(latent), level)
        else:
            levels = torch.from_numpy(level[at : at + AT_ONCE]).to(device)
        picture = system.codec.decode(latent, levels)
        parts.append((picture.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.ascontiguousarray(np.concatenate(parts))


@torch.no_grad()
def density_bits(system: System, latents: Latents, level: int) -> float:
    """−log₂ of the fitted density, bits of all latents together."""
    device = next(system.parameters()).device
    total = 0.0
    for at in range(0, len(latents), AT_ONCE):
        latent = torch.from_numpy(latents[at : at + AT_ONCE]).to(device).float()
        bits = system.density.bits(latent, _levels(system, len(latent), level))
        total += float(bits.double().sum())
    return total


def _levels(system: System, images: int, level: int) -> torch.Tensor:
    device = next(system.parameters()).device
    return torch.full((images, system.codec.channels), level, device=device)
