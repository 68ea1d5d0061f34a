"""Pictures to packets, at one rate level of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.errors import ConfigError
from tactic_codec.packet import HEADER_BYTES, TIME_UNIT_NS, Kind, Packet
from tactic_device import encoders
from tactic_device.encoders import Encoder
from tactic_device.errors import EncoderError
from tactic_device.fit import fit
from tactic_device.sources import Shot

_UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Coder:
    """Pictures to packets, for one geometry and one rate level of a bundle.

    Attributes
    ----------
    bundle : Bundle
    encoder : Encoder
        Of the level's chain.
    geometry, level : int
    budget_bytes : int or None
        No packet gets larger, header included: what does not fit is left off the stream's end.
    """

    bundle: Bundle
    encoder: Encoder
    geometry: int
    level: int
    budget_bytes: int | None = None

    def __post_init__(self) -> None:
        """Encode a black frame, so that what does not fit fails now and not in the field."""
        codec = self.bundle.codec
        size = codec.geometries[self.geometry]
        expected = (codec.channels, size.height // codec.stride, size.width // codec.stride)
        found = self.encoder.encode(np.zeros((size.height, size.width, 3), np.uint8))
        if found.dtype != np.int8 or found.shape != expected:
            raise EncoderError(
                f"{self.bundle.path}: encoder gives {found.dtype} {found.shape}, the manifest "
                f"declares {expected}; export the bundle again"
            )

    def encode(self, shot: Shot) -> Packet:
        """Make a frame packet; its numbers come from the outbox."""
        return self.code(self.latent(shot), shot, self.level, self.budget_bytes)

    def latent(self, shot: Shot) -> NDArray[np.int8]:
        """Run the encoder: int8 (C, h, w), the finest level of the chain."""
        size = self.bundle.codec.geometries[self.geometry]
        return self.encoder.encode(fit(shot.pixels, size.height, size.width))

    def code(
        self, latent: NDArray[np.int8], shot: Shot, level: int, budget_bytes: int | None
    ) -> Packet:
        """Make the packet of a latent of the same shot, at a level of the encoder's chain."""
        codec = self.bundle.codec
        layers = nest.layers(level, codec.levels)
        planes = nest.split(nest.coarsen(latent, level // 2), layers)
        payload = stream.encode(planes, self.bundle.models[nest.chain(level)])
        if budget_bytes is not None:
            payload = stream.cut(payload, budget_bytes - HEADER_BYTES)
        return Packet(
            kind=Kind.FRAME,
            boot=0,
            pkt=0,
            payload=payload,
            bundle=codec.wire_id,
            captured=shot.captured_ns // TIME_UNIT_NS & _UINT32,
            level=level,
            geometry=self.geometry,
            layers=layers,
        )

    def beginning(self, packet: Packet, layers: int) -> int:
        """Bytes of a frame's packet, header included, with so many layers of its stream."""
        shape = layers * self.bundle.codec.channels, *self.bundle.latent_shape(packet)
        model = self.bundle.models[nest.chain(packet.level)]
        return HEADER_BYTES + stream.length(packet.payload, model, shape)

    def at_level(self, level: int, runtime: str, threads: int) -> Coder:
        """The same at another rate level.

        Raises
        ------
        EncoderError
            The runtime does not run the encoder of that level's chain.
        """
        if nest.chain(level) == nest.chain(self.level):
            return replace(self, level=level)
        choice = encoders.choose(self.bundle, level, runtime, threads)
        return replace(self, encoder=choice.encoder, level=level)


def find_geometry(bundle: Bundle, wanted: str | None) -> int:
    """Find the index of ``WIDTHxHEIGHT`` among the bundle's geometries; the first by default.

    Raises
    ------
    ConfigError
        The bundle does not declare it.
    """
    names = [f"{g.width}x{g.height}" for g in bundle.codec.geometries]
    if wanted is None:
        return 0
    if wanted not in names:
        raise ConfigError(
            f"encoder.geometry {wanted} is not in {bundle.path}; choose from {', '.join(names)}"
        )
    return names.index(wanted)


def find_level(bundle: Bundle, wanted: int | None) -> int:
    """Check a rate level; the one that the bundle recommends by default.

    Raises
    ------
    ConfigError
        The bundle does not declare it.
    """
    levels = bundle.codec.levels
    if wanted is None:
        return bundle.manifest.default_level
    if wanted >= levels:
        raise ConfigError(
            f"encoder.level {wanted} is not in {bundle.path}; choose from 0 to {levels - 1}"
        )
    return wanted
