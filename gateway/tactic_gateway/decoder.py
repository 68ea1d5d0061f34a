"""From the packets of a frame back to its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.errors import PacketError, StreamError
from tactic_codec.packet import Packet
from tactic_codec.types import FrameKey, Latent
from tactic_gateway.errors import DecodeError
from tactic_gateway.models import Model


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """A decoded picture.

    Attributes
    ----------
    pixels : uint8 array (H, W, 3)
        RGB.
    key : FrameKey
    """

    pixels: NDArray[np.uint8]
    key: FrameKey


class Decoder:
    """The gateway half of a bundle's codec.

    Parameters
    ----------
    bundle : Bundle
    threads : int
        Threads that one call may use.
    """

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._bundle = bundle
        self._codec = bundle.codec
        self._model = Model(bundle, bundle.codec.decoder, threads)

    def latent(self, packets: Sequence[Packet]) -> Latent:
        """Entropy-decode one frame, as far as it arrived.

        Parameters
        ----------
        packets : sequence of Packet
            The packet that opens the frame, then any of its parts. Parts after a gap are of no
            use, since a stream only decodes from its beginning.

        Raises
        ------
        DecodeError
            ``bundle``, ``geometry``, ``level`` or ``layers``: the bundle does not declare what
            the header selects. ``stream``: the payload does not fit the tables.
        """
        arrived = _arrived(packets)
        opening, codec = arrived[0], self._codec
        try:
            shape = self._bundle.latent_shape(opening)
        except PacketError as fault:
            raise DecodeError(fault.reason, str(fault)) from fault
        planes = nest.layers(opening.level, codec.levels) * codec.channels
        model = self._bundle.models[nest.chain(opening.level)]
        data = b"".join(packet.payload for packet in arrived)
        try:
            found = stream.decode(data, model, (planes, *shape))
        except StreamError as fault:
            raise DecodeError("stream", str(fault)) from fault
        return nest.join(found.planes, found.whole, codec.channels, opening.level, codec.levels)

    def pictures(self, latents: Sequence[Latent]) -> NDArray[np.uint8]:
        """Pictures of a batch of latents of one size.

        Parameters
        ----------
        latents : sequence of N Latent

        Returns
        -------
        uint8 array (N, H, W, 3)

        Raises
        ------
        DecodeError
            ``model``: the network fails.
        """
        symbols = np.stack([latent.symbols for latent in latents])
        pictures = self._model.run(symbols, np.stack([latent.levels for latent in latents]))
        stride = self._codec.stride
        n, _, h, w = symbols.shape
        if pictures.dtype != np.uint8 or pictures.shape != (n, h * stride, w * stride, 3):
            found = f"{pictures.dtype} {pictures.shape}"
            raise DecodeError("model", f"the decoder gives {found} for latents {symbols.shape}")
        return pictures

    def reconstruct(self, key: FrameKey, packets: Sequence[Packet]) -> Reconstruction:
        """Picture of one frame; the same as ``latent`` and ``pictures`` for a batch of one."""
        return Reconstruction(self.pictures([self.latent(packets)])[0], key)


def _arrived(packets: Sequence[Packet]) -> list[Packet]:
    found = [packets[0]]
    for packet in sorted(packets[1:], key=lambda each: each.part):
        if packet.part != len(found):
            break
        found.append(packet)
    return found
