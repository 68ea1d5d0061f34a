"""Run the written files as a device and a gateway would, on batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

_BATCH = 16


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # The device sets it too: without it, x86 gets unsigned activations, which may saturate.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(path: Path, *inputs: NDArray[Any]) -> NDArray[Any]:
    """The one output of an ONNX file for its inputs, in batches."""
    session = _session(path)
    names = [each.name for each in session.get_inputs()]
    parts = []
    for start in range(0, len(inputs[0]), _BATCH):
        batch = (array[start : start + _BATCH] for array in inputs)
        parts.append(session.run(None, dict(zip(names, batch, strict=True)))[0])
    return np.concatenate(parts)


def run_tflite(path: Path, frames: NDArray[np.int8]) -> NDArray[np.int8]:
    """Latents int8 (N, C, h, w) of ``encoder.tflite`` for int8 frames (N, H, W, 3)."""
    interpreter = Interpreter(str(path), num_threads=1)
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    channels = interpreter.get_input_details()[0]["shape"][3]
    shape = (1, frames.shape[1], frames.shape[2] * 3 // channels, channels)
    interpreter.resize_tensor_input(source, shape)
    interpreter.allocate_tensors()
    latents = []
    for frame in frames:
        interpreter.set_tensor(source, frame.reshape(shape))
        interpreter.invoke()
        latents.append(interpreter.get_tensor(target)[0].transpose(2, 0, 1))
    return np.stack(latents)


def as_int8(frames: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Pixel − 128: what the encoder files take."""
    return (frames ^ np.uint8(0x80)).view(np.int8)
