"""From the packets of a frame back to its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic_codec import stream
from tactic_codec.bundle import Bundle
from tactic_codec.errors import PacketError, StreamError
from tactic_codec.packet import Packet
from tactic_codec.types import FrameKey
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
        self._model = Model(bundle.file(bundle.codec.decoder), threads)

    def symbols(self, packets: Sequence[Packet]) -> NDArray[np.int8]:
        """Entropy-decode one frame.

        Parameters
        ----------
        packets : sequence of Packet
            The packet that opens the frame, then any of its parts. Parts after a gap are of no
            use, since a stream only decodes from its beginning.

        Returns
        -------
        int8 array (C, H / stride, W / stride)
            Symbols that did not arrive are 0.

        Raises
        ------
        DecodeError
            ``bundle``, ``geometry``, ``level`` or ``layers``: the bundle does not declare what
            the header selects. ``stream``: the payload does not fit the tables.
        """
        chain = _chain(packets)
        layers = max(packet.layers for packet in chain)
        try:
            shape = self._bundle.latent_shape(chain[0])
        except PacketError as fault:
            raise DecodeError(fault.reason, str(fault)) from fault
        if layers > len(self._codec.layers):
            raise DecodeError("layers", f"{layers} layers, not {len(self._codec.layers)}")
        data = b"".join(packet.payload for packet in chain)
        try:
            return stream.decode(
                data, self._bundle.models[chain[0].level], self._codec.layers, layers, shape
            ).symbols
        except StreamError as fault:
            raise DecodeError("stream", str(fault)) from fault

    def pictures(self, latents: NDArray[np.int8], levels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures of a batch of latents of one size.

        Parameters
        ----------
        latents : int8 array (N, C, h, w)
        levels : int64 array (N,)
            Rate level of each.

        Returns
        -------
        uint8 array (N, H, W, 3)

        Raises
        ------
        DecodeError
            ``model``: the network fails.
        """
        pictures = self._model.run(latents, levels)
        stride = self._codec.stride
        n, _, h, w = latents.shape
        if pictures.dtype != np.uint8 or pictures.shape != (n, h * stride, w * stride, 3):
            found = f"{pictures.dtype} {pictures.shape}"
            raise DecodeError("model", f"the decoder gives {found} for latents {latents.shape}")
        return pictures

    def reconstruct(self, key: FrameKey, packets: Sequence[Packet]) -> Reconstruction:
        """Picture of one frame; the same as ``symbols`` and ``pictures`` for a batch of one."""
        level = np.array([packets[0].level])
        return Reconstruction(self.pictures(self.symbols(packets)[np.newaxis], level)[0], key)


def _chain(packets: Sequence[Packet]) -> list[Packet]:
    chain = [packets[0]]
    for packet in sorted(packets[1:], key=lambda each: each.part):
        if packet.part != len(chain):
            break
        chain.append(packet)
    return chain
