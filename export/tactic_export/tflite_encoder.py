"""``encoder.tflite``: the same integers, written directly with the published flatbuffer schema.

Format: TensorFlow Lite schema version 3; CONV_2D version 3 (int8, per-channel weights).
"""

from __future__ import annotations

import math
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tactic_export.errors import ExportError
from tactic_export.integer import IntegerConv, IntegerEncoder

FILE_IDENTIFIER = b"TFL3"
_CONV, _POOL = 0, 1


class _Builder:
    """Tensors, buffers and operators of the one subgraph."""

    def __init__(self) -> None:
        self.tensors: list[schema.TensorT] = []
        self.buffers: list[schema.BufferT] = [schema.BufferT()]
        self.operators: list[schema.OperatorT] = []

    def constant(self, name: str, value: np.ndarray, scales: np.ndarray, axis: int) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.buffers.append(buffer)
        tensor = schema.TensorT(
            shape=list(value.shape),
            type=schema.TensorType.INT32 if value.dtype == np.int32 else schema.TensorType.INT8,
            buffer=len(self.buffers) - 1,
            name=name,
            quantization=_grid(scales, 0, axis),
        )
        return self._add(tensor)

    def activation(self, name: str, shape: tuple[int, int, int], grid: tuple[float, int]) -> int:
        tensor = schema.TensorT(
            shape=[1, *shape],
            shapeSignature=[-1, -1, -1, shape[2]],
            type=schema.TensorType.INT8,
            buffer=0,
            name=name,
            quantization=_grid(np.array([grid[0]]), grid[1], 0),
        )
        return self._add(tensor)

    def _add(self, tensor: schema.TensorT) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(
        self, code: int, inputs: list[int], output: int, kind: int, options: object
    ) -> None:
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=code,
                inputs=inputs,
                outputs=[output],
                builtinOptionsType=kind,
                builtinOptions=options,
            )
        )


def _grid(scales: np.ndarray, zero: int, axis: int) -> schema.QuantizationParametersT:
    return schema.QuantizationParametersT(
        scale=scales.astype(np.float32).tolist(),
        zeroPoint=[zero] * len(scales),
        quantizedDimension=axis,
    )


def write_encoder(encoder: IntegerEncoder, path: Path, height: int, width: int) -> None:
    """Write ``encoder.tflite``: int8 (1, H, W / f, 3 · f) → int8 (1, h, w, C), resizable.

    The input is the frame, byte for byte, with f pixels of a row taken together as so many more
    channels: kernels are fast where channels are a multiple of eight and waste most of their work
    on three. f is the largest number of pixels that the first convolution allows.

    Parameters
    ----------
    height, width : int
        The size it is first allocated for, in pixels.

    Raises
    ------
    ExportError
        A padding that TFLite has no name for.
    """
    builder = _Builder()
    first_layer = encoder.layers[0]
    fold = fold_px(first_layer) if isinstance(first_layer, IntegerConv) else 1
    shape, grid = (height, width // fold, 3 * fold), encoder.grid
    tensor = first = builder.activation("frame", shape, grid)
    for number, layer in enumerate(encoder.layers):
        if isinstance(layer, IntegerConv):
            folded = fold if number == 0 else 1
            shape = _shape_after(layer, shape, folded)
            grid = (layer.out_scale, layer.out_zero)
            output = builder.activation(f"activation_{number}", shape, grid)
            _convolution(builder, layer, tensor, output, number, folded)
        else:
            shape = (shape[0] // 2, shape[1] // 2, shape[2])
            output = builder.activation(f"pool_{number}", shape, grid)
            _max_pool(builder, tensor, output)
        tensor = output
    builder.tensors[tensor].name = "latent"
    path.write_bytes(_serialise(builder, first, tensor))


def fold_px(layer: IntegerConv) -> int:
    """Pixels of a row that may be taken together without another result."""
    return math.gcd(layer.stride, layer.weight.shape[3], layer.pads[1])


def _shape_after(
    layer: IntegerConv, shape: tuple[int, int, int], fold: int
) -> tuple[int, int, int]:
    return shape[0] // layer.stride, shape[1] * fold // layer.stride, layer.weight.shape[0]


def _convolution(
    builder: _Builder, layer: IntegerConv, source: int, target: int, number: int, fold: int
) -> None:
    outputs, inputs, height, width = layer.weight.shape
    taps = layer.weight.transpose(0, 2, 3, 1).reshape(outputs, height, width // fold, inputs * fold)
    weight = builder.constant(f"weight_{number}", taps, layer.weight_scale, 0)
    unit = np.float32(layer.in_scale) * layer.weight_scale
    bias = builder.constant(f"bias_{number}", layer.bias, unit, 0)
    relu = schema.ActivationFunctionType.RELU
    options = schema.Conv2DOptionsT(
        padding=_padding(layer),
        strideH=layer.stride,
        strideW=layer.stride // fold,
        fusedActivationFunction=relu if layer.relu else schema.ActivationFunctionType.NONE,
    )
    kind = schema.BuiltinOptions.Conv2DOptions
    builder.operator(_CONV, [source, weight, bias], target, kind, options)


def _padding(layer: IntegerConv) -> int:
    """SAME or VALID, checked against what TFLite makes of it on even sizes."""
    size, stride = layer.weight.shape[2], layer.stride
    if size in (stride, 1):
        same = (0, 0, 0, 0)
    else:
        whole = size - stride
        same = (whole // 2, whole // 2, whole - whole // 2, whole - whole // 2)
    if layer.pads != same:
        raise ExportError(f"TFLite has no padding {layer.pads} for {size}×{size}, stride {stride}")
    return int(schema.Padding.SAME if any(same) else schema.Padding.VALID)


def _max_pool(builder: _Builder, source: int, target: int) -> None:
    options = schema.Pool2DOptionsT(
        padding=schema.Padding.VALID, strideH=2, strideW=2, filterHeight=2, filterWidth=2
    )
    builder.operator(_POOL, [source], target, schema.BuiltinOptions.Pool2DOptions, options)


def _serialise(builder: _Builder, first: int, last: int) -> bytes:
    codes = [
        _code(schema.BuiltinOperator.CONV_2D, 3),
        _code(schema.BuiltinOperator.MAX_POOL_2D, 2),
    ]
    graph = schema.SubGraphT(
        tensors=builder.tensors,
        inputs=[first],
        outputs=[last],
        operators=builder.operators,
        name="encoder",
    )
    model = schema.ModelT(
        version=3,
        operatorCodes=codes,
        subgraphs=[graph],
        description="tactic encoder",
        buffers=builder.buffers,
    )
    flat = flatbuffers.Builder(1 << 20)
    flat.Finish(model.Pack(flat), FILE_IDENTIFIER)
    return bytes(flat.Output())


def _code(operator: int, version: int) -> schema.OperatorCodeT:
    return schema.OperatorCodeT(
        deprecatedBuiltinCode=operator, builtinCode=operator, version=version
    )
