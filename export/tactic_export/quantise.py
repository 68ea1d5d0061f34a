"""Quantise an encoder once, from a float network and calibration pictures, to integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tactic_export.errors import ExportError
from tactic_export.integer import IntegerConv, IntegerEncoder, IntegerLayer, IntegerMaxPool
from tactic_train.networks import Codec

INPUT_SCALE = 1 / 255
#: share of the mean energy added to every input's own, so that the product can be inverted
DAMPING = 1e-4


@torch.no_grad()
def quantise(codec: Codec, pictures: NDArray[np.uint8]) -> IntegerEncoder:
    """Quantise with the clipping that loses least, and biases that correct the mean error.

    Weights are rounded so that their errors cancel on what the layer sees (`rounded_weights`). The
    correction is that of Nagel et al., "Data-Free Quantization Through Weight Equalization and
    Bias Correction" (2019), measured on pictures.

    Parameters
    ----------
    codec : Codec
    pictures : uint8 array (N, H, W, 3)
        Calibration pictures, some tens of them.

    Returns
    -------
    The encoder of the finest rate level; `IntegerEncoder.scaled` gives the others.

    Raises
    ------
    ExportError
        The encoder has a layer that the integer graph does not know.
    """
    x = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - codec.zero) / 255
    integers = (pictures ^ np.uint8(0x80)).view(np.int8).transpose(0, 3, 1, 2)
    modules = list(codec.encoder)
    last = max(i for i, module in enumerate(modules) if isinstance(module, nn.Conv2d))
    layers: list[IntegerLayer] = []
    scale, zero = INPUT_SCALE, codec.zero - 128
    for index, module in enumerate(modules):
        before = x
        x = module(x)
        if isinstance(module, nn.Conv2d):
            grid = (1.0, 0) if index == last else (best_scale(x), -128)
            relu = isinstance(modules[min(index + 1, len(modules) - 1)], nn.ReLU)
            layer = _convolution(module, before, (scale, zero), grid, relu)
            layers.append(_corrected(layer, integers, x))
            integers = layers[-1](integers)
            scale, zero = grid
        elif isinstance(module, nn.MaxPool2d):
            layers.append(IntegerMaxPool())
            integers = layers[-1](integers)
        elif not isinstance(module, nn.ReLU):
            raise ExportError(f"the integer encoder has no {type(module).__name__}")
    return IntegerEncoder(tuple(layers))


def best_scale(x: Tensor) -> float:
    """Scale of the int8 grid over [0, top] that gives ReLU(x) the least squared error."""
    positive = x.clamp_min(0).flatten()
    sample = positive[:: max(1, positive.numel() // 200_000)]
    top = float(positive.max()) or 1.0
    scales = [top * share / 255 for share in np.linspace(0.3, 1.0, 36)]
    errors = [float((_grid(sample, scale) - sample).square().mean()) for scale in scales]
    return float(np.float32(scales[int(np.argmin(errors))]))


def _grid(x: Tensor, scale: float) -> Tensor:
    return (x / scale).round().clamp(0, 255) * scale


def rounded_weights(
    weight: NDArray[np.float64], scales: NDArray[np.float64], energy: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Round weights one after the other, each making up for the errors before it.

    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers" (2023), section 3: with the inverse energy's Cholesky factor, the error of each
    weight is spread over those still to come as it disturbs the sums least.

    Parameters
    ----------
    weight : float64 (outputs, inputs)
    scales : float64 (outputs,)
        Step of each output's grid.
    energy : float64 (inputs, inputs)
        Mean product of the inputs with each other.

    Returns
    -------
    int8 array (outputs, inputs), −127 … 127
    """
    damped = energy + np.eye(len(energy)) * DAMPING * max(np.trace(energy) / len(energy), 1e-12)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = weight / scales[:, None]
    rounded = np.empty(weight.shape, np.int8)
    for column, row in enumerate(factor):
        rounded[:, column] = np.clip(np.rint(left[:, column]), -127, 127)
        error = (left[:, column] - rounded[:, column]) / row[column]
        left[:, column + 1 :] -= error[:, None] * row[column + 1 :]
    return rounded


def _convolution(
    conv: nn.Conv2d,
    inputs: Tensor,
    source: tuple[float, int],
    target: tuple[float, int],
    relu: bool,
) -> IntegerConv:
    """The integers of a convolution between two grids, each (scale, zero point)."""
    weight = conv.weight.detach().double().numpy()
    scales = np.maximum(np.abs(weight).max(axis=(1, 2, 3)) / 127, 1e-9).astype(np.float32)
    rows = weight.reshape(len(weight), -1)
    integers = rounded_weights(rows, scales.astype(np.float64), _energy(conv, inputs))
    assert conv.bias is not None
    unit = source[0] * scales.astype(np.float64)
    bias = np.round(conv.bias.detach().double().numpy() / unit)
    side = int(conv.padding[0])
    return IntegerConv(
        weight=integers.reshape(weight.shape),
        bias=np.clip(bias, -(2**30), 2**30).astype(np.int32),
        weight_scale=scales,
        in_scale=source[0],
        in_zero=source[1],
        out_scale=target[0],
        out_zero=target[1],
        stride=int(conv.stride[0]),
        pads=(side, side, side, side),
        relu=relu,
    )


def _energy(conv: nn.Conv2d, inputs: Tensor) -> NDArray[np.float64]:
    """Mean product of a convolution's inputs with each other, float64 (inputs · k², …)."""
    side, padding = conv.kernel_size, int(conv.padding[0])
    size = conv.weight[0].numel()
    total = torch.zeros(size, size, dtype=torch.float64)
    for start in range(0, len(inputs), 16):
        part = inputs[start : start + 16]
        windows = nn.functional.unfold(part, side, padding=padding, stride=conv.stride)
        rows = windows.movedim(1, -1).flatten(0, 1)
        total += (rows.T @ rows).double() / len(rows)
    energy: NDArray[np.float64] = total.numpy()
    return energy


def _corrected(layer: IntegerConv, integers: NDArray[np.int8], target: Tensor) -> IntegerConv:
    """The layer with the mean error of each output channel taken out of its bias."""
    unit = layer.in_scale * layer.weight_scale.astype(np.float64)
    found = layer.accumulate(integers).mean(axis=(0, 2, 3))
    wanted = target.mean(dim=(0, 2, 3)).double().numpy() / unit
    bias = layer.bias + np.round(wanted - found).astype(np.int64)
    return dataclasses.replace(layer, bias=bias.astype(np.int32))
