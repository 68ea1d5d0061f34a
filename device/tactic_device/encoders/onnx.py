"""ONNX Runtime."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


class OnnxEncoder:
    """Input ``frame`` int8 (N, H, W, 3), output ``latent`` int8 (N, C, h, w)."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Run one frame uint8 (H, W, 3); return int8 (C, h, w)."""
        # The model takes pixel - 128, which is the same byte with its top bit flipped.
        frame = (pixels ^ 0x80).view(np.int8)[None]
        latent: NDArray[np.int8] = self._session.run(["latent"], {"frame": frame})[0]
        return np.ascontiguousarray(latent[0])


def load(runtime: str, model: bytes, threads: int) -> OnnxEncoder:
    """Load the content of an ``.onnx`` file; ``runtime`` is always ``onnxruntime``."""
    package = importlib.import_module(runtime)
    options = package.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Otherwise it makes activations unsigned on x86, whose products saturate without VNNI.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    providers = ["CPUExecutionProvider"]
    return OnnxEncoder(package.InferenceSession(model, options, providers=providers))
