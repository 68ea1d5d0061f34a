"""Latents to bytes and back: one stream a frame, of which any prefix of whole words decodes.

Normative text: ``docs/wire-format.md``, "Stream".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from tactic_codec import rans
from tactic_codec.entropy import EntropyModel
from tactic_codec.errors import StreamError
from tactic_codec.prepared import prepare
from tactic_codec.rans_twin import COMPLETE, CUT, LOWER, STATE_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Latents read from a stream or from a prefix of one.

    Attributes
    ----------
    symbols : int8 array (C, h, w)
        Exact where decoded; elsewhere 0, or the symbol of a constant channel.
    complete_layers : int
        Layers decoded to their last symbol, counted from the base layer.
    symbols_decoded : int
        Exact symbols in stream order: channel by channel, each in raster order.
    """

    symbols: NDArray[np.int8]
    complete_layers: int
    symbols_decoded: int


def encode(
    symbols: NDArray[np.int8], model: EntropyModel, layers: tuple[int, ...], upto: int
) -> bytes:
    """Entropy-code the first ``upto`` layers; the base layer comes first in the bytes.

    Symbols of constant channels are not read: the decoder shows the constant.

    Parameters
    ----------
    symbols : int8 array (C, h, w)
    model : EntropyModel
        Of the rate level; it has C channels.
    layers : tuple of int
        Channels of each layer from the base up; they add up to C.
    upto : int
        Layers to code, 1 … ``len(layers)``.

    Raises
    ------
    ValueError
        Shapes, layers and model do not fit each other: a fault of the caller.
    """
    channels = _coded_channels(model, layers, upto)
    if symbols.dtype != np.int8 or symbols.ndim != 3 or len(symbols) != len(model.contexts):
        expected = len(model.contexts)
        raise ValueError(f"latents {symbols.dtype} {symbols.shape} for {expected} channels")
    return rans.CODER.encode(symbols[:channels], prepare(model))


def decode(
    data: bytes, model: EntropyModel, layers: tuple[int, ...], upto: int, shape: tuple[int, int]
) -> Decoded:
    """Decode a stream, or as much of it as a prefix holds.

    Parameters
    ----------
    data : bytes
        The stream, or its state and any number of its words.
    model, layers, upto
        As given to :func:`encode`.
    shape : (int, int)
        Height and width of a channel.

    Raises
    ------
    StreamError
        The bytes are no stream of this model: half a word, an impossible state, words left
        over, a wrong final state, or an escape where none belongs.
    ValueError
        Layers and model do not fit each other: a fault of the caller.
    """
    channels = _coded_channels(model, layers, upto)
    if len(data) < STATE_BYTES or len(data) % 2:
        raise StreamError(f"stream of {len(data)} bytes is not a state and whole words")
    if int.from_bytes(data[:STATE_BYTES], "little") < LOWER:
        raise StreamError("stream begins with a state below 2^16")
    prepared = prepare(model)
    height, width = shape
    symbols = np.empty((len(model.contexts), height, width), np.int8)
    symbols[:] = prepared.values[:, np.newaxis, np.newaxis]
    outcome = rans.CODER.decode(data, prepared, symbols[:channels])
    if outcome.fault not in (COMPLETE, CUT):
        raise StreamError("stream escapes a symbol that its table holds")
    if outcome.fault == COMPLETE:
        _check_end(outcome.state, (len(data) - STATE_BYTES) // 2 - outcome.consumed)
    ends = [total * height * width for total in accumulate(layers[:upto])]
    return Decoded(
        symbols=symbols,
        complete_layers=sum(end <= outcome.symbols for end in ends),
        symbols_decoded=outcome.symbols,
    )


def _check_end(state: int, words_left: int) -> None:
    """Check that a complete stream ends where the encoder began."""
    if words_left:
        raise StreamError(f"stream has {words_left} words left over")
    if state != LOWER:
        raise StreamError("stream ends in a wrong state: other tables, or damaged bytes")


def _coded_channels(model: EntropyModel, layers: tuple[int, ...], upto: int) -> int:
    channels = len(model.contexts)
    if sum(layers) != channels or min(layers) < 1 or not 1 <= upto <= len(layers):
        raise ValueError(f"{upto} of layers {layers} for {channels} channels")
    return sum(layers[:upto])
