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
from tactic.evaluate.pictures import by_shape
from tactic.evaluate.setting import Coded, Setting
from tactic_codec import stream
from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.packet import HEADER_BYTES
from tactic_device.encoders.base import Encoder, load
from tactic_device.encoders.selection import model_file
from tactic_gateway.decoder import Decoder

NAME = "tactic"
_RUNTIME = "onnxruntime"


@dataclass(frozen=True, slots=True)
class Point:
    """What a node can choose: the rate level, and how many layers it sends."""

    level: int
    layers: int


def points(bundle: Bundle) -> list[Point]:
    """The operating points of a bundle."""
    levels, layers = len(bundle.codec.levels), len(bundle.codec.layers)
    return [Point(level, upto) for level in range(levels) for upto in range(1, layers + 1)]


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
        self._encoders = [_encoder(bundle, level) for level in range(len(bundle.codec.levels))]
        self._decoder = Decoder(bundle, threads=1)

    def code(self, point: Point, pictures: Sequence[NDArray[np.uint8]]) -> list[Coded]:
        """Encode, count, decode.

        Parameters
        ----------
        point : Point
        pictures : sequence of uint8 arrays (H, W, 3)
            Sides are multiples of the stride.
        """
        payloads = [self._stream(point, pixels) for pixels in pictures]
        latents = [
            self._latent(point, payload, pixels.shape)
            for payload, pixels in zip(payloads, pictures, strict=True)
        ]
        seen = by_shape(latents, functools.partial(self._pictures, point.level))
        sizes = [HEADER_BYTES + len(payload) for payload in payloads]
        return [
            Coded(pixels, size, headers.packet_payload_bytes(size))
            for pixels, size in zip(seen, sizes, strict=True)
        ]

    def _stream(self, point: Point, pixels: NDArray[np.uint8]) -> bytes:
        symbols = self._encoders[point.level].encode(pixels)
        model = self._models[point.level]
        return stream.encode(symbols, model, self._codec.layers, point.layers)

    def _latent(self, point: Point, payload: bytes, size: tuple[int, ...]) -> NDArray[np.int8]:
        shape = size[0] // self._codec.stride, size[1] // self._codec.stride
        model, layers = self._models[point.level], self._codec.layers
        return stream.decode(payload, model, layers, point.layers, shape).symbols

    def _pictures(self, level: int, latents: NDArray[np.int8]) -> NDArray[np.uint8]:
        return self._decoder.pictures(latents, np.full(len(latents), level, np.int64))


def _encoder(bundle: Bundle, level: int) -> Encoder:
    path = model_file(bundle, level, _RUNTIME)
    try:
        return load(_RUNTIME, path, threads=1)
    except ImportError:
        raise
    except Exception as fault:  # ONNX Runtime has no common base for its errors
        line = str(fault).strip().partition("\n")[0]
        raise BundleError(f"{path}: {line}; export the bundle again") from fault
