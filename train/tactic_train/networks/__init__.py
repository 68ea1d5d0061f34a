"""Networks of the codec, by the name of their architecture."""

from __future__ import annotations

from tactic_train.networks.base import NEST, Codec, per_channel
from tactic_train.networks.cost import macs_per_pixel
from tactic_train.networks.lapped import BlockCodec, LappedCodec
from tactic_train.networks.paper import PaperCodec

ARCHITECTURES: dict[str, type[Codec]] = {
    network.arch: network for network in (PaperCodec, LappedCodec, BlockCodec)
}

__all__ = [
    "ARCHITECTURES",
    "NEST",
    "BlockCodec",
    "Codec",
    "LappedCodec",
    "PaperCodec",
    "macs_per_pixel",
    "per_channel",
]
