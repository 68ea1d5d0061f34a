"""TFLite: the LiteRT runtime and its predecessor tflite-runtime have the same interpreter."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PACKAGES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}


class TfliteEncoder:
    """Input and output int8 NHWC, some pixels of a row as channels; resized with the frame."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        source = interpreter.get_input_details()[0]
        self._input: int = source["index"]
        self._channels = int(source["shape"][3])
        self._output: int = interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] | None = None

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Run one frame uint8 (H, W, 3); return int8 (C, h, w)."""
        height, width, _ = pixels.shape
        shape = (1, height, width * 3 // self._channels, self._channels)
        if shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, shape, strict=False)
            self._interpreter.allocate_tensors()
            self._shape = shape
        # The model takes pixel - 128, which is the same byte with its top bit flipped.
        frame = (pixels ^ 0x80).view(np.int8).reshape(shape)
        self._interpreter.set_tensor(self._input, frame)
        self._interpreter.invoke()
        latent: NDArray[np.int8] = self._interpreter.get_tensor(self._output)
        return np.ascontiguousarray(latent[0].transpose(2, 0, 1))


def load(runtime: str, model: bytes, threads: int) -> TfliteEncoder:
    """Load the content of a ``.tflite`` file."""
    package = importlib.import_module(_PACKAGES[runtime])
    return TfliteEncoder(package.Interpreter(model_content=model, num_threads=threads))
