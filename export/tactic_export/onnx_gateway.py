"""``decoder.onnx`` and ``head.onnx``: float networks of the gateway, weights stored as fp16.

Every large weight is an fp16 initialiser behind a Cast to fp32: half the bytes on disk, fp32
arithmetic, and ONNX Runtime folds the casts when it loads the file.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tactic_export.errors import ExportError
from tactic_train.heads import Head
from tactic_train.networks import Codec

OPSET = 18
_LARGE = 256
_LARGEST_HALF = float(np.finfo(np.float16).max)


class _Decoder(nn.Module):
    """int8 latent (N, C, h, w) and int64 level (N, C) → uint8 picture (N, H, W, 3)."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, latent: Tensor, level: Tensor) -> Tensor:
        picture = self.codec.decode(latent.float(), level)
        levels = (picture * 255).round().clamp(0, 255)
        return levels.permute(0, 2, 3, 1).to(torch.uint8)


class _Scores(nn.Module):
    """uint8 picture (N, H, W, 3) → float32 scores (N, classes) that sum to one."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, picture: Tensor) -> Tensor:
        x = picture.permute(0, 3, 1, 2).float() / 255
        logits: Tensor = self.head.features(_to_input(x, self.head.input_px))[1]
        return logits.softmax(dim=1)


class _Mask(nn.Module):
    """uint8 picture (N, H, W, 3) → uint8 classes of its pixels (N, H, W)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, picture: Tensor) -> Tensor:
        x = picture.permute(0, 3, 1, 2).float() / 255
        return self.head.features(x)[1].argmax(dim=1).to(torch.uint8)


def _to_input(x: Tensor, side_px: int) -> Tensor:
    """The head's input size from any other, in a form that ONNX can express for all sizes."""
    return nn.functional.interpolate(
        x, (side_px, side_px), mode="bilinear", align_corners=False, antialias=True
    )


def write_decoder(codec: Codec, path: Path) -> None:
    """Write ``decoder.onnx``: ``latent`` int8 (N, C, h, w), ``level`` int64 (N, C) → ``picture``.

    The picture is uint8 (N, H, W, 3).
    """
    latent = torch.zeros(2, codec.channels, 8, 10, dtype=torch.int8)
    level = torch.zeros(2, codec.channels, dtype=torch.int64)
    inputs = {"latent": (latent, {0: "N", 2: "h", 3: "w"}), "level": (level, {0: "N"})}
    _export(_Decoder(codec).eval(), inputs, "picture", path)


def write_head(head: Head, path: Path) -> None:
    """Write ``head.onnx``: ``picture`` uint8 (N, H, W, 3) → ``scores`` float32 (N, classes).

    A head that segments gives ``mask`` uint8 (N, H, W) instead.

    Raises
    ------
    ExportError
        The head, one of the user's own, does what ONNX cannot express.
    """
    example = torch.zeros(2, 160, 192, 3, dtype=torch.uint8)
    inputs = {"picture": (example, {0: "N", 1: "H", 2: "W"})}
    segments = head.task == "segmentation"
    network = _Mask(head) if segments else _Scores(head)
    try:
        _export(network.eval(), inputs, "mask" if segments else "scores", path)
    except torch.onnx.OnnxExporterError as fault:
        reason = " ".join(str(fault.__cause__ or fault).split())[:160]
        raise ExportError(
            f"the head cannot be written as ONNX ({reason}); build it of layers that torch.onnx "
            "knows, without branches on values or batch size"
        ) from fault


def _export(
    module: nn.Module, inputs: dict[str, tuple[Tensor, dict[int, str]]], output: str, path: Path
) -> None:
    """Write a module; each input has an example and names for the axes of any size."""
    names = {name for _, axes in inputs.values() for name in axes.values()}
    dims = {name: torch.export.Dim(name, min=1, max=4096) for name in names}
    shapes = tuple({axis: dims[name] for axis, name in axes.items()} for _, axes in inputs.values())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.float(),
            tuple(example for example, _ in inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    _store_as_fp16(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of this machine: stack traces with paths."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def _store_as_fp16(model: onnx.ModelProto) -> None:
    """Replace every large fp32 initialiser whose values fp16 has by an fp16 one and a Cast."""
    kept, casts = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LARGE:
            kept.append(tensor)
            continue
        whole = numpy_helper.to_array(tensor)
        if np.abs(whole).max() > _LARGEST_HALF:
            kept.append(tensor)
            continue
        half = whole.astype(np.float16)
        kept.append(numpy_helper.from_array(half, f"{tensor.name}_fp16"))
        casts.append(
            helper.make_node("Cast", [f"{tensor.name}_fp16"], [tensor.name], to=TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
