"""TFLite: the LiteRT runtime and its predecessor tflite-runtime have the same interpreter."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PACKAGES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}


class TfliteEncoder:
    """Input int8 NHWC, output int8 NHWC; resized when the frame size changes."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._input: int = interpreter.get_input_details()[0]["index"]
        self._output: int = interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] | None = None

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Run one frame uint8 (H, W, 3); return int8 (C, h, w)."""
        if pixels.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, (1, *pixels.shape), strict=False)
            self._interpreter.allocate_tensors()
            self._shape = pixels.shape
        # The model takes pixel - 128, which is the same byte with its top bit flipped.
        self._interpreter.set_tensor(self._input, (pixels ^ 0x80).view(np.int8)[None])
        self._interpreter.invoke()
        latent: NDArray[np.int8] = self._interpreter.get_tensor(self._output)
        return np.ascontiguousarray(latent[0].transpose(2, 0, 1))


def load(runtime: str, model: Path, threads: int) -> TfliteEncoder:
    """Load a ``.tflite`` file."""
    package = importlib.import_module(_PACKAGES[runtime])
    return TfliteEncoder(package.Interpreter(model_path=str(model), num_threads=threads))
