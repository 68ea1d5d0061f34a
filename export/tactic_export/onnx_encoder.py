"""``encoder.onnx``: the integers in QDQ form, signed activations and signed weights (S8S8).

Unsigned activations saturate in ONNX Runtime on AVX2 processors without VNNI; signed ones do not.
On x86 it turns signed into unsigned when it loads the file, unless the session option
``session.qdqisint8allowed`` is set to 1, as the device and the export do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tactic_export.integer import IntegerConv, IntegerEncoder, IntegerMaxPool

OPSET = 18
IR_VERSION = 9


class _Graph:
    """Nodes and initialisers, with the name of the tensor that the next node reads."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.initialisers.append(numpy_helper.from_array(value, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def grid(self, name: str, scale: float, zero: int) -> list[str]:
        return [
            self.constant(f"{name}_scale", np.array(scale, np.float32)),
            self.constant(f"{name}_zero", np.array(zero, np.int8)),
        ]


def write_encoder(encoder: IntegerEncoder, path: Path) -> None:
    """Write ``encoder.onnx``: ``frame`` int8 (N, H, W, 3) → ``latent`` int8 (N, C, h, w)."""
    graph = _Graph()
    tensor = graph.node("Transpose", ["frame"], "planes", perm=[0, 3, 1, 2])
    grid = graph.grid("input", *encoder.grid)
    for number, layer in enumerate(encoder.layers):
        real = graph.node("DequantizeLinear", [tensor, *grid], f"real_{number}")
        if isinstance(layer, IntegerConv):
            real = _convolution(graph, layer, real, number)
            grid = graph.grid(f"out_{number}", layer.out_scale, layer.out_zero)
        elif isinstance(layer, IntegerMaxPool):
            real = graph.node(
                "MaxPool", [real], f"pool_{number}", kernel_shape=[2, 2], strides=[2, 2]
            )
        last = number == len(encoder.layers) - 1
        tensor = graph.node(
            "QuantizeLinear", [real, *grid], "latent" if last else f"integer_{number}"
        )
    _save(graph, encoder.convolutions[-1].weight.shape[0], path)


def _convolution(graph: _Graph, layer: IntegerConv, real: str, number: int) -> str:
    outputs = layer.weight.shape[0]
    scale = graph.constant(f"weight_scale_{number}", layer.weight_scale)
    weight = graph.node(
        "DequantizeLinear",
        [
            graph.constant(f"weight_{number}", layer.weight),
            scale,
            graph.constant(f"weight_zero_{number}", np.zeros(outputs, np.int8)),
        ],
        f"weight_real_{number}",
        axis=0,
    )
    bias = graph.node(
        "DequantizeLinear",
        [
            graph.constant(f"bias_{number}", layer.bias),
            graph.constant(f"bias_scale_{number}", np.float32(layer.in_scale) * layer.weight_scale),
            graph.constant(f"bias_zero_{number}", np.zeros(outputs, np.int32)),
        ],
        f"bias_real_{number}",
        axis=0,
    )
    real = graph.node(
        "Conv",
        [real, weight, bias],
        f"conv_{number}",
        strides=[layer.stride] * 2,
        pads=list(layer.pads),
        kernel_shape=list(layer.weight.shape[2:]),
    )
    return graph.node("Relu", [real], f"relu_{number}") if layer.relu else real


def _save(graph: _Graph, channels: int, path: Path) -> None:
    frame = helper.make_tensor_value_info("frame", TensorProto.INT8, ["N", "H", "W", 3])
    latent = helper.make_tensor_value_info("latent", TensorProto.INT8, ["N", channels, "h", "w"])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "encoder", [frame], [latent], graph.initialisers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tactic",
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
