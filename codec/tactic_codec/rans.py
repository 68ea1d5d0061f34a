"""The entropy coder: the C library where it can be loaded, its Python twin everywhere else.

Both give the same bytes. ``TACTIC_RANS=python`` in the environment forces the twin.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tactic_codec import rans_twin
from tactic_codec.prepared import Prepared
from tactic_codec.rans_twin import STATE_BYTES, Outcome

LIBRARY = Path(__file__).with_name("librans.so")
_VERSION = 2
_NO_ROOM = 3
_NO_SCRATCH = np.empty(0, np.int32)


class Coder(Protocol):
    """What the library and the twin both offer."""

    def encode(self, symbols: NDArray[np.int8], prepared: Prepared) -> bytes:
        """Encode the first ``len(symbols)`` channels of (C, h, w)."""

    def decode(self, data: bytes, prepared: Prepared, symbols: NDArray[np.int8]) -> Outcome:
        """Decode into ``symbols`` (C, h, w); what is not decoded is left as it is.

        Constant channels must hold their constants.
        """


class _Outcome(ctypes.Structure):
    _fields_ = (
        ("symbols", ctypes.c_uint64),
        ("consumed", ctypes.c_uint64),
        ("state", ctypes.c_uint32),
        ("fault", ctypes.c_int32),
    )


class Library:
    """The C coder behind ctypes.

    Raises
    ------
    OSError
        ``path`` is missing, is not for this machine, or belongs to another version.
    """

    def __init__(self, path: Path = LIBRARY) -> None:
        library = ctypes.CDLL(str(path))
        try:
            found = library.tactic_rans_version()
        except AttributeError as fault:
            raise OSError(f"{path} is not the coder's library") from fault
        if found != _VERSION:
            raise OSError(f"{path} is version {found}, needed is {_VERSION}: install again")
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self._scratch_bytes = library.tactic_rans_scratch
        self._scratch_bytes.restype = size
        self._scratch_bytes.argtypes = [size] * 3
        self._encode = library.tactic_rans_encode
        self._encode.restype = ctypes.c_int64
        self._encode.argtypes = [pointer, *[size] * 3, *[pointer] * 4, size, pointer, size]
        self._decode = library.tactic_rans_decode
        self._decode.restype = None
        state = ctypes.c_uint32
        self._decode.argtypes = [pointer, size, state, *[size] * 3, *[pointer] * 8, size]

    def encode(self, symbols: NDArray[np.int8], prepared: Prepared) -> bytes:
        """Encode the first ``len(symbols)`` channels of (C, h, w)."""
        symbols = np.ascontiguousarray(symbols, np.int8)
        out = np.empty(STATE_BYTES + 4 * symbols.size, np.uint8)
        scratch = self._scratch(symbols, prepared)
        written = self._encode(
            symbols.ctypes.data,
            *symbols.shape,
            *prepared.for_encoder,
            out.ctypes.data,
            out.size,
            scratch.ctypes.data,
            scratch.nbytes,
        )
        if written < 0:
            raise MemoryError(f"no room for {symbols.size} symbols")
        return out[out.size - written :].tobytes()

    def decode(self, data: bytes, prepared: Prepared, symbols: NDArray[np.int8]) -> Outcome:
        """Decode into ``symbols`` (C, h, w), contiguous; what is not decoded is left as it is."""
        words = np.frombuffer(data, np.uint8)[STATE_BYTES:]
        scratch = self._scratch(symbols, prepared)
        result = _Outcome()
        self._decode(
            words.ctypes.data,
            len(words) // 2,
            int.from_bytes(data[:STATE_BYTES], "little"),
            *symbols.shape,
            *prepared.for_decoder,
            symbols.ctypes.data,
            ctypes.addressof(result),
            scratch.ctypes.data,
            scratch.nbytes,
        )
        if result.fault == _NO_ROOM:
            raise MemoryError(f"no room for {symbols.size} symbols")
        return Outcome(result.symbols, result.consumed, result.state, result.fault)

    def _scratch(self, symbols: NDArray[np.int8], prepared: Prepared) -> NDArray[np.int32]:
        """Memory the library works in; none where no context needs it."""
        if len(symbols) <= prepared.static_channels:
            return _NO_SCRATCH
        return np.empty(self._scratch_bytes(*symbols.shape) // 4, np.int32)


def _choose() -> tuple[Coder, str, str]:
    if os.environ.get("TACTIC_RANS") == "python":
        return rans_twin.Twin(), "python", "TACTIC_RANS=python is set"
    try:
        return Library(), "c", f"{LIBRARY} is loaded"
    except OSError as fault:
        return rans_twin.Twin(), "python", str(fault)


CODER, _backend, _why = _choose()


def backend() -> str:
    """``"c"`` or ``"python"``."""
    return _backend


def why() -> str:
    """Why this coder was chosen, one line for a log."""
    return _why
