"""Our own encoder of one convolution, in the library of the entropy coder.

It reads the picture's bytes where they lie and writes the latent in its final order, without the
copies that an interpreter needs at both ends. For x86-64 with AVX2; other processors have LiteRT.
"""

from __future__ import annotations

import ctypes
import struct
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tactic_codec.rans import LIBRARY
from tactic_device.encoders.flat import Convolution, read_convolution

_COLOURS, _TILE, _ROWS_AT_ONCE = 3, 16, 8


class NativeEncoder:
    """Runs one convolution.

    Parameters
    ----------
    layer : Convolution
    threads : int

    Raises
    ------
    ValueError
        The library has no code for this convolution.
    OSError
        The library is missing, or has no code for this processor.
    """

    def __init__(self, layer: Convolution, threads: int) -> None:
        channels, side, _ = layer.weight.shape
        if channels % _TILE or side % _ROWS_AT_ONCE:
            raise ValueError(f"no code for {channels} channels of windows of {side} pixels")
        self._run, self._scratch_values = _library()
        # int16 [tile][row][pair of values][channel of the tile][value of the pair]
        tiles = layer.weight.reshape(-1, _TILE, side, _COLOURS * side // 2, 2)
        self._weight = np.ascontiguousarray(tiles.transpose(0, 2, 3, 1, 4), np.int16)
        self._bias = np.ascontiguousarray(layer.bias, np.int32)
        self._multiplier = np.ascontiguousarray(layer.multiplier, np.float32)
        self._channels, self._side, self._stride = channels, side, layer.stride
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "encoder") if threads > 1 else None

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Run one frame uint8 (H, W, 3); return int8 (C, h, w)."""
        pixels = np.ascontiguousarray(pixels)
        height, width, _ = pixels.shape
        rows = height // self._stride
        latent = np.empty((self._channels, rows, width // self._stride), np.int8)
        bounds = np.linspace(0, rows, min(self._threads, rows) + 1).astype(int).tolist()
        encode_rows = partial(self._encode_rows, pixels, latent)
        if self._pool is None:
            encode_rows(0, rows)
        else:
            list(self._pool.map(encode_rows, bounds[:-1], bounds[1:]))
        return latent

    def _encode_rows(
        self, pixels: NDArray[np.uint8], latent: NDArray[np.int8], first: int, last: int
    ) -> None:
        width = pixels.shape[1]
        scratch = np.empty(self._scratch_values(width, self._side, self._stride), np.int16)
        self._run(
            pixels.ctypes.data,
            *pixels.shape[:2],
            first,
            last,
            self._weight.ctypes.data,
            self._bias.ctypes.data,
            self._multiplier.ctypes.data,
            self._channels,
            self._side,
            self._stride,
            latent.ctypes.data,
            scratch.ctypes.data,
        )


def load(runtime: str, model: bytes, threads: int) -> NativeEncoder:
    """Load the content of a ``.tflite`` file; ``runtime`` is always ``native``."""
    return NativeEncoder(read_convolution(model), threads)


def suits(model: bytes) -> bool:
    """Whether there is code for this model and this processor."""
    try:
        load("native", model, threads=1)
    except (ValueError, OSError, LookupError, struct.error):
        return False
    return True


def pays(processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether LiteRT is slower: with VNNI it multiplies four bytes at once."""
    try:
        return "vnni" not in processor.read_text()
    except OSError:
        return True


def _library() -> tuple[ctypes._NamedFuncPointer, ctypes._NamedFuncPointer]:
    library = ctypes.CDLL(str(LIBRARY))
    try:
        works = library.tactic_windows_works
    except AttributeError as fault:
        raise OSError(f"{LIBRARY} is older than this program: install again") from fault
    if not works():
        raise OSError("no code for this processor")
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    run, scratch_values = library.tactic_windows, library.tactic_windows_scratch
    run.restype = None
    run.argtypes = [pointer, *[size] * 4, *[pointer] * 3, *[size] * 3, pointer, pointer]
    scratch_values.restype = size
    scratch_values.argtypes = [size] * 3
    return run, scratch_values
