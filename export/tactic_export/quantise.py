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
from tactic_train.rounding import rounded

INPUT_SCALE = 1 / 255


@torch.no_grad()
def quantise(codec: Codec, pictures: NDArray[np.uint8]) -> IntegerEncoder:
    """Quantise with the clipping that loses least, and biases that correct the mean error.

    Weights are rounded so that their errors cancel (`tactic_train.rounding`). The correction is
    that of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
    (2019), measured on pictures.

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


def _convolution(
    conv: nn.Conv2d,
    inputs: Tensor,
    source: tuple[float, int],
    target: tuple[float, int],
    relu: bool,
) -> IntegerConv:
    """The integers of a convolution between two grids, each (scale, zero point)."""
    integers, scales = rounded(conv, inputs)
    assert conv.bias is not None
    unit = source[0] * scales.astype(np.float64)
    bias = np.round(conv.bias.detach().double().numpy() / unit)
    side = int(conv.padding[0])
    return IntegerConv(
        weight=integers,
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


def _corrected(layer: IntegerConv, integers: NDArray[np.int8], target: Tensor) -> IntegerConv:
    """The layer with the mean error of each output channel taken out of its bias."""
    unit = layer.in_scale * layer.weight_scale.astype(np.float64)
    found = layer.accumulate(integers).mean(axis=(0, 2, 3))
    wanted = target.mean(dim=(0, 2, 3)).double().numpy() / unit
    bias = layer.bias + np.round(wanted - found).astype(np.int64)
    return dataclasses.replace(layer, bias=bias.astype(np.int32))
