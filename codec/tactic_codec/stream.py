"""Planes to bytes and back: one stream a frame, of which any prefix of whole words decodes.

Normative text: ``docs/wire-format.md``, "Stream".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic_codec import rans
from tactic_codec.entropy import EntropyModel
from tactic_codec.errors import StreamError
from tactic_codec.prepared import prepare
from tactic_codec.rans_twin import COMPLETE, CUT, LOWER, STATE_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Planes read from a stream or from a prefix of one.

    Attributes
    ----------
    planes : int8 array (P, h, w)
        Exact where decoded; elsewhere 0, or the symbol of a constant plane.
    symbols : int
        Exact symbols in stream order: plane by plane, each in raster order.
    """

    planes: NDArray[np.int8]
    symbols: int

    @property
    def whole(self) -> int:
        """Planes decoded to their last symbol."""
        size = self.planes.shape[1] * self.planes.shape[2]
        return int(self.symbols // size)


def encode(planes: NDArray[np.int8], model: EntropyModel) -> bytes:
    """Entropy-code planes; the first comes first in the bytes.

    Symbols of constant planes are not read: the decoder shows the constant.

    Parameters
    ----------
    planes : int8 array (P, h, w)
        The first P that the model describes.
    model : EntropyModel
        Of the chain of levels.

    Raises
    ------
    ValueError
        Planes and model do not fit each other: a fault of the caller.
    """
    if planes.dtype != np.int8 or planes.ndim != 3:
        raise ValueError(f"planes {planes.dtype} {planes.shape}, not int8 (P, h, w)")
    _check_planes(len(planes), model)
    return rans.CODER.encode(planes, prepare(model))


def decode(data: bytes, model: EntropyModel, shape: tuple[int, int, int]) -> Decoded:
    """Decode a stream, or as much of it as a prefix holds.

    Parameters
    ----------
    data : bytes
        The stream, or its state and any number of its words.
    model : EntropyModel
        As given to :func:`encode`.
    shape : (int, int, int)
        Number, height and width of the planes.

    Raises
    ------
    StreamError
        The bytes are no stream of this model: half a word, an impossible state, words left
        over, a wrong final state, or an escape where none belongs.
    ValueError
        Shape and model do not fit each other: a fault of the caller.
    """
    _check_planes(shape[0], model)
    if len(data) < STATE_BYTES or len(data) % 2:
        raise StreamError(f"stream of {len(data)} bytes is not a state and whole words")
    if int.from_bytes(data[:STATE_BYTES], "little") < LOWER:
        raise StreamError("stream begins with a state below 2^16")
    prepared = prepare(model)
    planes = np.empty(shape, np.int8)
    planes[:] = prepared.values[: shape[0], np.newaxis, np.newaxis]
    outcome = rans.CODER.decode(data, prepared, planes)
    if outcome.fault not in (COMPLETE, CUT):
        raise StreamError("stream escapes a symbol that its table holds")
    if outcome.fault == COMPLETE:
        _check_end(outcome.state, (len(data) - STATE_BYTES) // 2 - outcome.consumed)
    return Decoded(planes, outcome.symbols)


def length(data: bytes, model: EntropyModel, shape: tuple[int, int, int]) -> int:
    """Bytes of the shortest prefix of a whole stream that holds its first planes.

    Parameters
    ----------
    data : bytes
        As :func:`encode` gave it.
    model : EntropyModel
    shape : (int, int, int)
        Number, height and width of the first planes.
    """
    _check_planes(shape[0], model)
    prepared = prepare(model)
    planes = np.empty(shape, np.int8)
    planes[:] = prepared.values[: shape[0], np.newaxis, np.newaxis]
    return STATE_BYTES + 2 * rans.CODER.decode(data, prepared, planes).consumed


def cut(data: bytes, most_bytes: int) -> bytes:
    """The longest prefix of a stream that has at most so many bytes and decodes.

    Raises
    ------
    ValueError
        Not even the coder's state fits.
    """
    if most_bytes < STATE_BYTES:
        raise ValueError(f"a stream has {STATE_BYTES} bytes at least, allowed are {most_bytes}")
    return data[: most_bytes - most_bytes % 2]


def _check_planes(planes: int, model: EntropyModel) -> None:
    if not 1 <= planes <= len(model.contexts):
        raise ValueError(f"{planes} planes for a model of {len(model.contexts)}")


def _check_end(state: int, words_left: int) -> None:
    """Check that a complete stream ends where the encoder began."""
    if words_left:
        raise StreamError(f"stream has {words_left} words left over")
    if state != LOWER:
        raise StreamError("stream ends in a wrong state: other tables, or damaged bytes")
