"""The bundle's own codec, as node and gateway run it, at each of its operating points.

The one module of the evaluation that knows how a bundle codes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate import headers
from tactic.evaluate.pictures import groups
from tactic.evaluate.setting import Coded, Setting
from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.packet import HEADER_BYTES
from tactic_codec.rans_twin import STATE_BYTES
from tactic_codec.types import Latent
from tactic_device.encoders.base import Encoder, load
from tactic_device.encoders.selection import model_of
from tactic_gateway.decoder import Decoder

NAME = "tactic"
_RUNTIME = "onnxruntime"
#: shares of a stream that show what a prefix is worth
CUT = (0.75, 0.5)


@dataclass(frozen=True, slots=True)
class Point:
    """What a node can choose: the rate level, and the share of its stream's bytes that is sent."""

    level: int
    share: float


def points(bundle: Bundle) -> list[Point]:
    """The operating points of a bundle."""
    levels = bundle.codec.levels
    refined = [level for level in range(levels) if nest.layers(level, levels) > 1]
    whole = [Point(level, 1.0) for level in range(levels)]
    return whole + [Point(level, share) for share in CUT for level in refined]


def settings(bundle: Bundle) -> list[Setting]:
    """One setting for each operating point.

    Raises
    ------
    BundleError
        A runtime cannot load a network of the bundle.
    """
    coder = BundleCoder(bundle)
    return [
        Setting(NAME, asdict(point), functools.partial(coder.code, point))
        for point in points(bundle)
    ]


class BundleCoder:
    """Encoder, entropy coder and decoder of one bundle.

    Parameters
    ----------
    bundle : Bundle

    Raises
    ------
    BundleError
        A runtime cannot load a network of the bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._codec = bundle.codec
        self._models = bundle.models
        self._encoders = [_encoder(bundle, chain) for chain in range(len(bundle.codec.encoders))]
        self._decoder = Decoder(bundle, threads=1)

    def code(self, point: Point, pictures: Sequence[NDArray[np.uint8]]) -> list[Coded]:
        """Encode, count, decode.

        Parameters
        ----------
        point : Point
        pictures : sequence of uint8 arrays (H, W, 3)
            Sides are multiples of the stride.
        """
        payloads = [self.stream(point, pixels) for pixels in pictures]
        latents = [
            self.latent(point, payload, pixels.shape)
            for payload, pixels in zip(payloads, pictures, strict=True)
        ]
        seen = self.pictures(latents)
        sizes = [HEADER_BYTES + len(payload) for payload in payloads]
        return [
            Coded(pixels, size, headers.packet_payload_bytes(size))
            for pixels, size in zip(seen, sizes, strict=True)
        ]

    def stream(self, point: Point, pixels: NDArray[np.uint8]) -> bytes:
        """Encode one picture (H, W, 3): the stream, or the share of it that is sent."""
        chain, layers = nest.chain(point.level), nest.layers(point.level, self._codec.levels)
        symbols = nest.coarsen(self._encoders[chain].encode(pixels), point.level // 2)
        whole = stream.encode(nest.split(symbols, layers), self._models[chain])
        return stream.cut(whole, max(STATE_BYTES, round(point.share * len(whole))))

    def latent(self, point: Point, payload: bytes, size: tuple[int, ...]) -> Latent:
        """Decode a stream, or any beginning of one, of a picture of that shape."""
        codec = self._codec
        planes = nest.layers(point.level, codec.levels) * codec.channels
        shape = planes, size[0] // codec.stride, size[1] // codec.stride
        found = stream.decode(payload, self._models[nest.chain(point.level)], shape)
        return nest.join(found.planes, found.whole, codec.channels, point.level, codec.levels)

    def pictures(self, latents: list[Latent]) -> list[NDArray[np.uint8]]:
        """What the gateway sees of latents of any sizes: uint8 (H, W, 3) each."""
        found: dict[int, NDArray[np.uint8]] = {}
        for part in groups([latent.symbols for latent in latents]):
            found |= zip(part, self._decoder.pictures([latents[n] for n in part]), strict=True)
        return [found[number] for number in range(len(latents))]


def _encoder(bundle: Bundle, level: int) -> Encoder:
    model = model_of(bundle, level, _RUNTIME)
    try:
        return load(_RUNTIME, model, threads=1)
    except ImportError:
        raise
    except Exception as fault:  # ONNX Runtime has no common base for its errors
        line = str(fault).strip().partition("\n")[0]
        raise BundleError(f"{bundle.path}: {line}; export the bundle again") from fault
