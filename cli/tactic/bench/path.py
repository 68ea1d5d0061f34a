"""The way of a picture from uint8 RGB to a packet, whole and stage by stage."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.packet import HEADER_BYTES, pack
from tactic_device import encoders
from tactic_device.coder import Coder
from tactic_device.encoders import base
from tactic_device.encoders.flat import read_convolution
from tactic_device.encoders.selection import model_of
from tactic_device.fit import fit
from tactic_device.sources import Shot
from tactic_export.integer import IntegerConv, IntegerEncoder
from tactic_export.tflite_encoder import write_encoder

STAGES = ("fit", "encoder", "layers", "entropy", "packet")


@dataclass(frozen=True, slots=True)
class Way:
    """A coder, and the size of pictures that it is given."""

    coder: Coder

    def whole(self, picture: NDArray[np.uint8]) -> bytes:
        """What a node does with each picture."""
        return pack(self.coder.encode(Shot(picture, 0)))

    def packet_bytes(self, picture: NDArray[np.uint8]) -> int:
        """Size of the packet."""
        return len(self.whole(picture))

    def stages(self, picture: NDArray[np.uint8]) -> list[tuple[str, Callable[[], object]]]:
        """Each stage as something to call without arguments; together they are `whole`."""
        coder, codec = self.coder, self.coder.bundle.codec
        size = codec.geometries[coder.geometry]
        layers = nest.layers(coder.level, codec.levels)
        model = coder.bundle.models[nest.chain(coder.level)]
        fitted = fit(picture, size.height, size.width)
        latent = coder.encoder.encode(fitted)
        planes = nest.split(nest.coarsen(latent, coder.level // 2), layers)
        packet = coder.encode(Shot(picture, 0))
        assert len(stream.encode(planes, model)) == len(pack(packet)) - HEADER_BYTES
        calls: tuple[Callable[[], object], ...] = (
            lambda: fit(picture, size.height, size.width),
            lambda: coder.encoder.encode(fitted),
            lambda: nest.split(nest.coarsen(latent, coder.level // 2), layers),
            lambda: stream.encode(planes, model),
            lambda: pack(packet),
        )
        return list(zip(STAGES, calls, strict=True))


def way(bundle: Bundle, geometry: int, runtime: str, threads: int) -> tuple[Way, str]:
    """The default level of a bundle with a runtime; also the runtime's name.

    Raises
    ------
    EncoderError
        No runtime runs the encoder.
    """
    level = bundle.manifest.default_level
    choice = encoders.choose(bundle, level, runtime, threads)
    return Way(Coder(bundle, choice.encoder, geometry, level)), choice.runtime


def small_way(bundle: Bundle, geometry: int, runtime: str, threads: int) -> Way:
    """The same with an encoder of ``block``: the middle of each window of the bundle's.

    It takes the time of a trained one; its pictures are worse, and its packets of about the same
    size, because the windows' middles hold most of their weight.
    """
    level = bundle.manifest.default_level
    model = _middle(model_of(bundle, level, "litert"), bundle.codec.stride)
    return Way(Coder(bundle, base.load(runtime, model, threads), geometry, level))


def _middle(model: bytes, stride: int) -> bytes:
    layer = read_convolution(model)
    channels, side, _ = layer.weight.shape
    edge = (side - stride) // 2
    windows = layer.weight.reshape(channels, side, side, 3)
    inner = windows[:, edge : edge + stride, edge : edge + stride].transpose(0, 3, 1, 2)
    conv = IntegerConv(
        weight=np.ascontiguousarray(inner),
        bias=layer.bias,
        weight_scale=layer.multiplier,
        in_scale=1.0,
        in_zero=0,
        out_scale=1.0,
        out_zero=0,
        stride=stride,
        pads=(0, 0, 0, 0),
        relu=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "encoder.tflite")
        write_encoder(IntegerEncoder((conv,)), path, 16 * stride, 16 * stride)
        return path.read_bytes()
