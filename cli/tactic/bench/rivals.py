"""What a picture could be instead of a packet: a file, or a head's answer."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from tactic_codec.bundle import Bundle
from tactic_device.fit import fit

#: At these, the accuracy of docs/results/photo1000.json is that of photo1000's default level, at
#: full size, by linear interpolation.
QUALITIES = {"jpeg": 21, "webp": 24, "avif": 36}
WEBP_METHOD, AVIF_SPEED = 4, 9
HEAD_SIDE_PX = 224

Pixels = NDArray[np.uint8]


def encoders(threads: int) -> dict[str, Callable[[Pixels], bytes]]:
    """Fast encoders of uint8 RGB, by name."""
    return {
        "jpeg": _jpeg,
        "webp": lambda p: _pillow(p, "WEBP", quality=QUALITIES["webp"], method=WEBP_METHOD),
        "avif": lambda p: _pillow(
            p, "AVIF", quality=QUALITIES["avif"], speed=AVIF_SPEED, max_threads=threads
        ),
    }


def _jpeg(pixels: Pixels) -> bytes:
    """libjpeg-turbo through OpenCV, which is quicker than through Pillow; standard tables."""
    swapped = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITIES["jpeg"]]
    return bytes(cv2.imencode(".jpg", swapped, quality)[1].data)


def _pillow(pixels: Pixels, kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **settings)
    return file.getvalue()


class Head:
    """The bundle's head on the node.

    Parameters
    ----------
    model : bytes
        Of `quantised`.
    threads : int
    """

    def __init__(self, model: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pixels: Pixels) -> object:
        """Scores of one picture."""
        fitted = fit(pixels, HEAD_SIDE_PX, HEAD_SIDE_PX)
        return self._session.run(None, {self._input: fitted[None]})


def quantised(bundle: Bundle) -> bytes:
    """The bundle's first head in int8, by ONNX Runtime's static quantisation.

    Its activations range as on the probe frames: it is for its speed, not its answers.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model, pictures = bundle.read(bundle.manifest.heads[0].model), list(bundle.probe()[0])
    with tempfile.TemporaryDirectory() as folder:
        given, ready, made = (Path(folder, f"{name}.onnx") for name in ("given", "ready", "made"))
        given.write_bytes(model)
        name = onnxruntime.InferenceSession(model).get_inputs()[0].name

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._rest: Iterator[Pixels] = iter(pictures)

            def get_next(self) -> dict[str, Pixels] | None:
                picture = next(self._rest, None)
                if picture is None:
                    return None
                return {name: fit(picture, HEAD_SIDE_PX, HEAD_SIDE_PX)[None]}

        quant_pre_process(str(given), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(made),
            Reader(),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
        return made.read_bytes()
