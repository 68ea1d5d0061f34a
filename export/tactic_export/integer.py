"""The integer encoder: the one set of integers behind ONNX, TFLite and this NumPy reference.

Real value of an activation = scale · (q − zero point), as in Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018). Weights are
symmetric per output channel, activations int8 with one scale a tensor. The output scale is 1 and
its zero point 0: its integers are the latent. Sums are requantised as LiteRT's XNNPACK does it: by
one float32 multiplication, rounding halves to even.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class IntegerConv:
    """A convolution, a ReLU where ``relu`` says so, and requantisation.

    Attributes
    ----------
    weight : int8 array (outputs, inputs, k, k)
    bias : int32 array (outputs,)
        In units of ``in_scale · weight_scale``.
    weight_scale : float32 array (outputs,)
    in_scale, out_scale : float
    in_zero, out_zero : int
    stride : int
    pads : (top, left, bottom, right)
        Rows and columns of the input's zero point around it.
    relu : bool
        Nothing below the output's zero point.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    weight_scale: NDArray[np.float32]
    in_scale: float
    in_zero: int
    out_scale: float
    out_zero: int
    stride: int
    pads: tuple[int, int, int, int]
    relu: bool

    def __call__(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """int8 (N, inputs, h, w) → int8 (N, outputs, h', w')."""
        scaled = self.accumulate(x).astype(np.float32) * self.multiplier[:, None, None]
        floor = self.out_zero if self.relu else -128
        out: NDArray[np.int8] = np.clip(np.rint(scaled) + self.out_zero, floor, 127).astype(np.int8)
        return out

    @property
    def multiplier(self) -> NDArray[np.float32]:
        """in_scale · weight_scale / out_scale, float32 (outputs,)."""
        product = np.float32(self.in_scale) * self.weight_scale
        return product / np.float32(self.out_scale)

    def accumulate(self, x: NDArray[np.int8]) -> NDArray[np.int64]:
        """Sums before requantisation, in units of in_scale · weight_scale."""
        top, left, bottom, right = self.pads
        centred = x.astype(np.float64) - self.in_zero
        padded = np.pad(centred, ((0, 0), (0, 0), (top, bottom), (left, right)))
        size = self.weight.shape[2]
        windows = sliding_window_view(padded, (size, size), axis=(2, 3))
        windows = windows[:, :, :: self.stride, :: self.stride]
        # float64 holds every sum of these products exactly (below 2^53) and has a fast product
        sums = np.tensordot(windows, self.weight.astype(np.float64), ((1, 4, 5), (1, 2, 3)))
        return np.moveaxis(sums, 3, 1).astype(np.int64) + self.bias[:, None, None]


@dataclass(frozen=True, slots=True)
class IntegerMaxPool:
    """2×2 max-pooling of stride 2; scale and zero point pass through."""

    def __call__(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """int8 (N, C, h, w) → int8 (N, C, h / 2, w / 2)."""
        n, c, h, w = x.shape
        out: NDArray[np.int8] = x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
        return out


IntegerLayer = IntegerConv | IntegerMaxPool


@dataclass(frozen=True, slots=True)
class IntegerEncoder:
    """The layers in order.

    Its input is pixel − 128, of which 1/255 is the scale. The zero point of the first convolution
    says which pixel value is zero, and pads.
    """

    layers: tuple[IntegerLayer, ...]

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Latents of pictures.

        Parameters
        ----------
        frames : uint8 array (N, H, W, 3)
            RGB; H and W are multiples of the stride.

        Returns
        -------
        int8 array (N, C, H / stride, W / stride)
        """
        x = (frames ^ np.uint8(0x80)).view(np.int8).transpose(0, 3, 1, 2)
        for layer in self.layers:
            x = layer(x)
        return np.ascontiguousarray(x)

    @property
    def grid(self) -> tuple[float, int]:
        """Scale and zero point of the input."""
        first = self.convolutions[0]
        return first.in_scale, first.in_zero

    def scaled(self, steps: NDArray[np.float32]) -> IntegerEncoder:
        """The encoder of a rate level: the same integers, requantised to its steps.

        Parameters
        ----------
        steps : float32 array (C,)
            Quantisation steps of the level in units of those of this encoder.
        """
        at = max(i for i, layer in enumerate(self.layers) if isinstance(layer, IntegerConv))
        last = self.layers[at]
        assert isinstance(last, IntegerConv)
        # Bias and sums share the weights' scale, so their integers stay as they are.
        level = replace(last, weight_scale=last.weight_scale / steps)
        return IntegerEncoder((*self.layers[:at], level, *self.layers[at + 1 :]))

    @property
    def convolutions(self) -> tuple[IntegerConv, ...]:
        """The convolutions in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, IntegerConv))
