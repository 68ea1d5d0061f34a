"""What runs on both sides, the emulated Pi and this machine, with the packages of a user's node.

``inside.py latents RUNTIME OUT`` or ``inside.py codec LATENTS OUT [PACKETS]``. It lies in a folder
with ``bundle`` and ``frames``, where it finds and leaves what the arguments name: ``.npz`` files.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tactic_codec import nest, rans, stream
from tactic_codec.bundle import Bundle
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_codec.prepared import prepare
from tactic_codec.rans_twin import Twin
from tactic_device.encoders.base import load
from tactic_device.encoders.selection import model_of
from tactic_device.fit import fit
from tactic_gateway.decoder import Decoder

PACKAGES = {
    "litert": "ai-edge-litert",
    "tflite": "tflite-runtime",
    "onnxruntime": "onnxruntime",
}
SIDES = ((224, 224), (480, 640))
LARGE = 4
"""How many frames are also encoded in the second size."""
CODED = ((0, 1.0), (1, 1.0), (4, 1.0), (0, 0.6))
"""Level, and the share of its bytes that arrives: both chains, the coarsest, and a cut one."""
DECODED = 2
"""How many frames become packets, at each of these levels."""

Found = dict[str, NDArray[Any]]


def latents(runtime: str) -> Found:
    """Latents of every frame, of both chains, and what went into the encoder."""
    bundle = Bundle.open("bundle")
    pictures = [_read(path) for path in sorted(Path("frames").iterdir())]
    found: Found = {"version": np.array(metadata.version(PACKAGES[runtime]))}
    began_s = time.perf_counter()
    for height, width in SIDES:
        some = pictures if (height, width) == SIDES[0] else pictures[:LARGE]
        fitted = [fit(picture, height, width) for picture in some]
        found[f"pixels-{width}"] = _digests(fitted)
        for chain in range(len(bundle.codec.encoders)):
            encoder = load(runtime, model_of(bundle, chain, runtime), 1)
            found[f"latent-{chain}-{width}"] = np.stack([encoder.encode(p) for p in fitted])
    return found | _about(began_s)


def codec(given: str, packets: str | None = None) -> Found:
    """Packets of the latents in ``given``; symbols and pixels of those in ``packets``, or of them.

    Both coders make them; ``twin`` is the share of streams in which the twin's are the same.
    """
    bundle = Bundle.open("bundle")
    began_s = time.perf_counter()
    latent = np.load(given)
    own, twin = [], []
    for number in range(DECODED):
        for level, share in CODED:
            symbols = latent[f"latent-{nest.chain(level)}-{SIDES[0][1]}"][number]
            layers = nest.layers(level, bundle.codec.levels)
            planes = nest.split(nest.coarsen(symbols, level // 2), layers)
            model = bundle.models[nest.chain(level)]
            payload = stream.encode(planes, model)
            twin.append(Twin().encode(planes, prepare(model)) == payload)
            kept = stream.cut(payload, int(share * len(payload)))
            own.append(
                pack(
                    Packet(
                        Kind.FRAME,
                        1,
                        number,
                        kept,
                        bundle.codec.wire_id,
                        level=level,
                        layers=layers,
                    )
                )
            )
    wires = own if packets is None else _unjoined(np.load(packets))
    return {
        "backend": np.array(rans.backend()),
        "twin": np.array(np.mean(twin)),
        "packets": np.frombuffer(b"".join(own), np.uint8),
        "sizes": np.array([len(wire) for wire in own]),
        **_decoded(bundle, wires),
        **_about(began_s),
    }


def _decoded(bundle: Bundle, wires: list[bytes]) -> Found:
    decoder = Decoder(bundle, 1)
    found = [decoder.latent([unpack(wire)]) for wire in wires]
    return {
        "symbols": np.stack([latent.symbols for latent in found]),
        "levels": np.stack([latent.levels for latent in found]),
        "pictures": np.stack([decoder.pictures([latent])[0] for latent in found]),
    }


def _unjoined(packets: Any) -> list[bytes]:
    ends = np.cumsum(packets["sizes"])
    return [part.tobytes() for part in np.split(packets["packets"], ends[:-1])]


def _read(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return np.asarray(pixels, np.uint8)


def _digests(pictures: list[NDArray[np.uint8]]) -> NDArray[Any]:
    return np.array([hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures])


def _about(began_s: float) -> Found:
    seconds = time.perf_counter() - began_s
    return {"machine": np.array(platform.machine()), "seconds": np.array(seconds)}


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    task, first, out, *rest = sys.argv[1:]
    made = latents(first) if task == "latents" else codec(first, *rest)
    # Its annotations know one keyword argument and no others.
    np.savez_compressed(out, **made)  # type: ignore[arg-type]
