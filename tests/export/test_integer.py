"""The integer encoder against one pixel at a time, and its quantisation against the float one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tactic_export.errors import ExportError
from tactic_export.integer import IntegerConv, IntegerEncoder, IntegerMaxPool
from tactic_export.quantise import best_scale, quantise
from tactic_train.rounding import rounded_weights
from tactic_train.step import System

Pads = tuple[int, int, int, int]


def convolution(stride: int, pads: Pads, relu: bool) -> IntegerConv:
    rng = np.random.default_rng(stride + relu)
    return IntegerConv(
        weight=rng.integers(-127, 128, (3, 2, 3, 3), np.int8),
        bias=rng.integers(-3000, 3000, 3, np.int32),
        weight_scale=rng.uniform(0.001, 0.01, 3).astype(np.float32),
        in_scale=1 / 255,
        in_zero=-128,
        out_scale=0.013,
        out_zero=-128 if relu else 4,
        stride=stride,
        pads=pads,
        relu=relu,
    )


def pixel(conv: IntegerConv, x: NDArray[np.int8], channel: int, row: int, column: int) -> int:
    """One output; the product is taken in float32, as the runtimes do it."""
    total = int(conv.bias[channel])
    for source, dy, dx in itertools.product(range(x.shape[0]), range(3), range(3)):
        y = row * conv.stride + dy - conv.pads[0]
        z = column * conv.stride + dx - conv.pads[1]
        if 0 <= y < x.shape[1] and 0 <= z < x.shape[2]:
            weight = int(conv.weight[channel, source, dy, dx])
            total += weight * (int(x[source, y, z]) - conv.in_zero)
    unit = np.float32(conv.in_scale) * conv.weight_scale[channel] / np.float32(conv.out_scale)
    value = round(float(np.float32(total) * unit)) + conv.out_zero
    return max(conv.out_zero if conv.relu else -128, min(127, value))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("stride", "pads"), [(1, (1, 1, 1, 1)), (2, (0, 0, 1, 1))])
def test_a_convolution_pixel_by_pixel(stride: int, pads: Pads, relu: bool) -> None:
    conv = convolution(stride, pads, relu)
    x = np.random.default_rng(5).integers(-128, 128, (2, 2, 6, 8), np.int8)
    found = conv(x)
    assert found.shape == (2, 3, 6 // stride, 8 // stride)
    assert found.dtype == np.int8
    expected = np.array(
        [pixel(conv, x[n], c, y, z) for n, c, y, z in np.ndindex(*found.shape)], np.int8
    )
    np.testing.assert_array_equal(found.ravel(), expected)
    assert len(np.unique(found)) > 20, "nearly everything is clipped: the test says nothing"


def test_a_max_pool_pixel_by_pixel() -> None:
    x = np.random.default_rng(5).integers(-128, 128, (1, 2, 4, 6), np.int8)
    found = IntegerMaxPool()(x)
    for n, c, y, z in np.ndindex(*found.shape):
        assert found[n, c, y, z] == x[n, c, 2 * y : 2 * y + 2, 2 * z : 2 * z + 2].max()


def test_pixels_become_signed(pictures: NDArray[np.uint8]) -> None:
    straight = IntegerEncoder(())(pictures)
    np.testing.assert_array_equal(straight, pictures.transpose(0, 3, 1, 2).astype(int) - 128)


def test_latents_stay_near_those_of_the_float_encoder(
    system: System, pictures: NDArray[np.uint8]
) -> None:
    with torch.no_grad():
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        finest = quantise(system.codec, pictures)
        for number, steps in enumerate(system.codec.steps()):
            wanted = system.codec.encode(x, torch.full((len(x), len(steps)), number)).numpy()
            error = finest.scaled(steps.numpy())(pictures) - np.clip(wanted, -128, 127)
            # Rounding alone gives a deviation of 0.29.
            assert error.std() < 0.45
            assert wanted.std() > 0.7


def test_a_linear_encoder_loses_nothing_to_int8(
    lapped: System, pictures: NDArray[np.uint8]
) -> None:
    with torch.no_grad():
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        level = torch.zeros(len(x), lapped.codec.channels, dtype=torch.int64)
        wanted = lapped.codec.encode(x, level).numpy()
        finest = lapped.codec.steps()[0].numpy()
    found = quantise(lapped.codec, pictures).scaled(finest)(pictures)
    assert np.mean(found != np.clip(np.rint(wanted), -128, 127)) < 0.02


def test_errors_of_rounded_weights_cancel_on_what_the_layer_sees() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.normal(0, 1, (400, 6)) @ rng.normal(0, 1, (6, 40))
    weight, scales = rng.normal(0, 20, (4, 40)), np.full(4, 0.7)
    rounded = rounded_weights(weight, scales, inputs.T @ inputs / len(inputs))
    assert rounded.dtype == np.int8

    def error(integers: NDArray[np.floating]) -> float:
        return float(np.abs(inputs @ (integers * scales[:, None] - weight).T).mean())

    assert error(rounded.astype(float)) < 0.3 * error(np.rint(weight / scales[:, None]))


def test_bias_correction_takes_the_mean_error_out(
    system: System, pictures: NDArray[np.uint8]
) -> None:
    encoder = quantise(system.codec, pictures)
    layers = iter(encoder.layers)
    integers = (pictures ^ np.uint8(0x80)).view(np.int8).transpose(0, 3, 1, 2)
    x = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - system.codec.zero) / 255
    with torch.no_grad():
        for module in system.codec.encoder:
            x = module(x)
            if isinstance(module, nn.ReLU):
                continue
            layer = next(layers)
            if isinstance(layer, IntegerConv):
                unit = layer.in_scale * layer.weight_scale.astype(np.float64)
                found = layer.accumulate(integers).mean(axis=(0, 2, 3)) * unit
                gap = np.abs(found - x.mean(dim=(0, 2, 3)).double().numpy())
                assert (gap <= unit).all()
            integers = layer(integers)


def test_the_scale_clips_what_is_rare() -> None:
    torch.manual_seed(1)
    x = torch.randn(20_000)
    x[0] = 40.0
    top = float(x.max())
    scale = best_scale(x)

    def error(scale: float) -> float:
        positive = x.clamp_min(0)
        gap = (positive / scale).round().clamp(0, 255) * scale - positive
        return float(gap.square().mean())

    assert 0.3 * top / 255 <= scale * (1 + 1e-6)
    assert scale <= top / 255 * (1 + 1e-6)
    assert error(scale) <= error(top / 255)
    assert best_scale(torch.zeros(8)) > 0


def test_a_layer_that_integers_cannot_express(system: System, pictures: NDArray[np.uint8]) -> None:
    system.codec.encoder.insert(1, nn.Sigmoid())
    with pytest.raises(ExportError, match="the integer encoder has no Sigmoid"):
        quantise(system.codec, pictures)
