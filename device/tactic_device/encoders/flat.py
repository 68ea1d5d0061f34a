"""Reads the convolution out of an encoder's ``.tflite`` file, where it is only one.

Format: FlatBuffers, and the schema of TensorFlow Lite, version 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_CONV_2D, _SAME, _NO_ACTIVATION = 3, 0, 0
_COLOURS = 3

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """One convolution of pixel - 128, with as much padding on all sides.

    Attributes
    ----------
    weight : int8 array (C, side, 3 * side)
        Each row of a window in the order of the picture's bytes.
    bias : int32 array (C,)
    multiplier : float32 array (C,)
        Makes a sum a symbol.
    stride : int
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.float32]
    stride: int


def read_convolution(model: bytes) -> Convolution:
    """Read the only layer of a model.

    Raises
    ------
    ValueError
        It has another one, or another padding.
    struct.error, IndexError
        Not a TFLite file.
    """
    root = _Table(model, struct.unpack_from("<I", model)[0])
    (graph,) = root.tables(2)
    operators, tensors = graph.tables(3), graph.tables(0)
    if len(operators) != 1 or root.tables(1)[0].number(3, "<i") != _CONV_2D:
        raise ValueError("the encoder is more than one convolution")
    operator = operators[0]
    source, weight, bias = (tensors[n] for n in operator.array(1, np.int32))
    (target,) = (tensors[n] for n in operator.array(2, np.int32))
    outputs, side, _, _ = shape = weight.array(0, np.int32)
    taps = root.tables(4)[weight.number(2, "<I")].array(0, np.int8).reshape(shape)
    taps = taps.reshape(outputs, side, -1)
    options = operator.table(4)
    stride = options.number(2, "<i")
    _check(taps, options, stride, source, target)
    return Convolution(
        taps,
        root.tables(4)[bias.number(2, "<I")].array(0, np.uint8).view(np.int32),
        _scale(source) * _scale(weight) / _scale(target),
        stride,
    )


def _check(
    taps: NDArray[np.int8], options: _Table, stride: int, source: _Table, target: _Table
) -> None:
    _, side, values = taps.shape
    fold = int(source.array(0, np.int32)[3]) // _COLOURS
    square = values == _COLOURS * side and options.number(1, "<i") * fold == stride
    padding = options.number(0, "<b")
    padded = side == stride or (padding == _SAME and (side - stride) % 2 == 0)
    zeros = [int(each.table(4).array(3, np.int64)[0]) for each in (source, target)]
    if not square or not padded or any(zeros) or options.number(3, "<b") != _NO_ACTIVATION:
        raise ValueError("the encoder is another convolution than of windows of a picture")


def _scale(tensor: _Table) -> NDArray[np.float32]:
    return tensor.table(4).array(2, np.float32)


class _Table:
    """A table of a FlatBuffer; fields by their number in the schema."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    @cached_property
    def _fields(self) -> tuple[int, ...]:
        at = self._at - struct.unpack_from("<i", self._data, self._at)[0]
        (size_bytes,) = struct.unpack_from("<H", self._data, at)
        return struct.unpack_from(f"<{size_bytes // 2 - 2}H", self._data, at + 4)

    def number(self, field: int, form: str) -> int:
        """A number; 0 where it is left out."""
        step = self._step(field)
        return int(struct.unpack_from(form, self._data, self._at + step)[0]) if step else 0

    def table(self, field: int) -> _Table:
        return _Table(self._data, self._follow(self._at + self._step(field)))

    def tables(self, field: int) -> list[_Table]:
        first, count = self._vector(field)
        return [_Table(self._data, self._follow(first + 4 * n)) for n in range(count)]

    def array(self, field: int, kind: type[_T]) -> NDArray[_T]:
        if not self._step(field):
            return np.zeros(1, kind)
        first, count = self._vector(field)
        return np.frombuffer(self._data, kind, count, first)

    def _step(self, field: int) -> int:
        return self._fields[field] if field < len(self._fields) else 0

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._follow(self._at + self._step(field))
        return at + 4, struct.unpack_from("<I", self._data, at)[0]

    def _follow(self, at: int) -> int:
        return at + int(struct.unpack_from("<I", self._data, at)[0])
