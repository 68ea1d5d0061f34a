"""``encoder.onnx``: the integers, computed exactly by floating-point operations.

What ONNX Runtime makes of quantised operators depends on the processor: on x86 it turns signed
activations into unsigned ones, and where there is no VNNI their products saturate. So the sums are
taken in float32, which holds every integer below 2^24 exactly in whatever order they are added, and
requantised by one multiplication. Every machine gives the integers of the reference.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tactic_export.integer import IntegerConv, IntegerEncoder
from tactic_export.quantise import INPUT_ZERO

OPSET = 18
IR_VERSION = 9


class _Graph:
    """Nodes and initialisers; every node is named after its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self.initialisers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output


def write_encoder(encoder: IntegerEncoder, path: Path) -> None:
    """Write ``encoder.onnx``: ``frame`` int8 (N, H, W, 3) → ``latent`` int8 (N, C, h, w)."""
    graph = _Graph()
    planes = graph.node("Transpose", ["frame"], "planes", perm=[0, 3, 1, 2])
    real = graph.node("Cast", [planes], "real", to=TensorProto.FLOAT)
    # Between layers a tensor holds q − zero point, so that padding is zero.
    zero = graph.constant("zero", np.float32(-INPUT_ZERO))
    tensor = graph.node("Add", [real, zero], "centred")
    for number, layer in enumerate(encoder.layers):
        if isinstance(layer, IntegerConv):
            sums = _convolution(graph, layer, tensor, number)
            tensor = _requantise(graph, layer, sums, number)
        else:
            tensor = graph.node(
                "MaxPool", [tensor], f"pool_{number}", kernel_shape=[2, 2], strides=[2, 2]
            )
    # The zero point of the latent is 0.
    graph.node("Cast", [tensor], "latent", to=TensorProto.INT8)
    _save(graph, encoder.convolutions[-1].weight.shape[0], path)


def _convolution(graph: _Graph, layer: IntegerConv, source: str, number: int) -> str:
    """The sums before requantisation; weights and bias stay integers in the file."""
    weight = graph.constant(f"weight_{number}", layer.weight)
    bias = graph.constant(f"bias_{number}", layer.bias)
    inputs = [
        source,
        graph.node("Cast", [weight], f"weight_real_{number}", to=TensorProto.FLOAT),
        graph.node("Cast", [bias], f"bias_real_{number}", to=TensorProto.FLOAT),
    ]
    return graph.node(
        "Conv",
        inputs,
        f"sums_{number}",
        strides=[layer.stride] * 2,
        pads=list(layer.pads),
        kernel_shape=list(layer.weight.shape[2:]),
    )


def _requantise(graph: _Graph, layer: IntegerConv, sums: str, number: int) -> str:
    """sums · multiplier, rounded, clipped to int8 around its zero point."""
    factor = graph.constant(f"multiplier_{number}", layer.multiplier[:, None, None])
    # The factor comes first: ONNX Runtime would fold a second one into the weights.
    scaled = graph.node("Mul", [factor, sums], f"scaled_{number}")
    whole = graph.node("Round", [scaled], f"whole_{number}")
    floor = layer.out_zero if layer.relu else -128
    least = graph.constant(f"least_{number}", np.float32(floor - layer.out_zero))
    most = graph.constant(f"most_{number}", np.float32(127 - layer.out_zero))
    return graph.node("Clip", [whole, least, most], f"clipped_{number}")


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
