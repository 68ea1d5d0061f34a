"""What every runtime offers, and how one is loaded by name."""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PREFERENCE = ("native", "litert", "tflite", "onnxruntime")


class Encoder(Protocol):
    """Pixels to quantised latents."""

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Run the encoder on one frame.

        Parameters
        ----------
        pixels : uint8 array (H, W, 3)
            RGB; both sides multiples of the stride.

        Returns
        -------
        int8 array (C, H / stride, W / stride)
        """


_MODULES = {"native": "native", "litert": "tflite", "tflite": "tflite", "onnxruntime": "onnx"}


def load(runtime: str, model: bytes, threads: int) -> Encoder:
    """Load the content of a model file with a runtime.

    Raises
    ------
    ImportError
        The runtime is not installed. What else a runtime raises is its own.
    """
    module = importlib.import_module(f"tactic_device.encoders.{_MODULES[runtime]}")
    encoder: Encoder = module.load(runtime, model, threads)
    return encoder
