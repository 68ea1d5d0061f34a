"""Lookup arrays that both coders read, made once for each model and table set.

The reciprocal replaces the encoder's division. Renormalisation keeps the state x below
``freq << 18``; with m = ceil(2^46 / freq) the error m*freq - 2^46 is below freq <= 2^14, so
``(x * m) >> 46`` is exactly x // freq and x * m stays below 2^64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tactic_codec.entropy import EntropyModel
from tactic_codec.tables import LOWEST, SCALE, SYMBOLS, Table, TableSet

RECIPROCAL_BITS = 46
ENTRIES = SYMBOLS + 1
LIMIT_SHIFT = 18
NONE = -1
LIKELY = 3 * SCALE // 4
CONSTANT, STATIC, ADAPTIVE = range(3)

ENCODE = np.dtype(
    [("reciprocal", "u8"), ("limit", "u4"), ("start", "u2"), ("complement", "u2")], align=True
)
RANGE = np.dtype([("freq", "u2"), ("start", "u2")])
HINT = np.dtype([("escape", "i2"), ("likely", "i2"), ("freq", "u2"), ("start", "u2")])
TAP = np.dtype([("channel", "u2"), ("dy", "i2"), ("dx", "i2"), ("weight", "i2")])
CONTEXT = np.dtype(
    [(name, "i4") for name in ("mode", "value", "first", "bins", "lowest", "fractions", "bias")]
    + [(name, "u4") for name in ("mean", "scale", "end")]
)


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """Arrays for T tables; index 0 … 255 is residual + 128. Those of constant tables are 0.

    Attributes
    ----------
    encode : ENCODE array (T, 257)
        One entry a symbol, the escape last; ``limit`` 0 marks a symbol that is escaped.
    slots : uint8 (T, 2^14)
        Index of the symbol that owns a slot.
    ranges : RANGE array (T, 256)
        Frequency and first slot of each index.
    hints : HINT array (T,)
        ``escape``: index that stands for the escape, or ``NONE``; ``likely``: index of a symbol
        of frequency 3/4 or more, with its range; where there is none, ``freq`` is 0.
    """

    encode: NDArray[np.void]
    slots: NDArray[np.uint8]
    ranges: NDArray[np.void]
    hints: NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A model of C channels, ready for a coder.

    Attributes
    ----------
    model : EntropyModel
    lookup : Lookup
        Of the model's tables; models with the same tables share it.
    contexts : CONTEXT array (C,)
        ``mode`` is ``CONSTANT``, ``STATIC`` (one table, base 0) or ``ADAPTIVE``; ``value`` the
        symbol of a constant channel, otherwise 0: what a lost symbol is shown as; taps
        ``mean`` … ``scale`` - 1 are those of the mean, ``scale`` … ``end`` - 1 the others.
    taps : TAP array
        Of all channels.
    static_channels : int
        Leading channels that are not ``ADAPTIVE``.
    for_encoder, for_decoder : tuple of int
        Where the arrays lie in memory, in the order in which the C library takes them.
    """

    model: EntropyModel
    lookup: Lookup
    contexts: NDArray[np.void]
    taps: NDArray[np.void]
    static_channels: int
    for_encoder: tuple[int, ...]
    for_decoder: tuple[int, ...]

    @property
    def values(self) -> NDArray[np.int8]:
        """What a lost symbol of each channel is shown as, int8 (C,)."""
        values: NDArray[np.int8] = self.contexts["value"].astype(np.int8)
        return values


@lru_cache(maxsize=16)
def prepare(model: EntropyModel) -> Prepared:
    """Lookup arrays of ``model``; those of the last sixteen models are kept."""
    contexts = np.zeros(len(model.contexts), CONTEXT)
    taps: list[tuple[int, ...]] = []
    for channel, context in enumerate(model.contexts):
        value = model.constant(channel)
        mode = ADAPTIVE if not context.is_static else STATIC if value is None else CONSTANT
        mean = len(taps)
        taps += context.mean + context.scale
        contexts[channel] = (
            mode,
            value or 0,
            *(context.first, context.bins, context.lowest, context.fractions, context.bias),
            *(mean, mean + len(context.mean), len(taps)),
        )
    lookup, tap_array = _lookup(model.tables), np.array(taps, TAP)
    own = (contexts.ctypes.data, tap_array.ctypes.data)
    shared = (lookup.slots, lookup.ranges, lookup.hints)
    return Prepared(
        model,
        lookup,
        contexts,
        tap_array,
        static_channels=int(np.argmax([*(contexts["mode"] == ADAPTIVE), True])),
        for_encoder=(*own, lookup.encode.ctypes.data),
        for_decoder=(*own, *(array.ctypes.data for array in shared)),
    )


@lru_cache(maxsize=4)
def _lookup(tables: TableSet) -> Lookup:
    count = len(tables)
    lookup = Lookup(
        encode=np.zeros((count, ENTRIES), ENCODE),
        slots=np.zeros((count, SCALE), np.uint8),
        ranges=np.zeros((count, SYMBOLS), RANGE),
        hints=np.full(count, np.array((NONE, NONE, 0, 0), HINT)),
    )
    for number, table in enumerate(tables.tables):
        if not table.is_constant:
            _fill(lookup, number, table)
    return lookup


def _fill(lookup: Lookup, number: int, table: Table) -> None:
    """Write the arrays of one table that is not constant."""
    freqs = np.zeros(ENTRIES, np.uint64)
    freqs[table.lo - LOWEST : table.hi - LOWEST + 1] = table.freqs
    freqs[SYMBOLS] = table.escape
    starts = np.cumsum(freqs) - freqs
    divisor = np.maximum(freqs, 1)
    entry = lookup.encode[number]
    entry["reciprocal"] = ((np.uint64(1) << np.uint64(RECIPROCAL_BITS)) + divisor - 1) // divisor
    entry["limit"] = freqs << LIMIT_SHIFT
    entry["start"] = starts
    entry["complement"] = SCALE - freqs
    # An escape exists only where some symbol has no slots of its own: it takes that index.
    indices = np.arange(ENTRIES)
    escape = int(np.argmin(freqs[:SYMBOLS])) if table.escape else NONE
    indices[SYMBOLS] = max(escape, 0)
    lookup.slots[number] = np.repeat(indices, freqs.astype(np.int64))
    ranges = lookup.ranges[number]
    ranges["freq"] = freqs[:SYMBOLS]
    ranges["start"] = np.where(freqs > 0, starts, 0)[:SYMBOLS]
    if table.escape:
        ranges[escape] = (freqs[SYMBOLS], starts[SYMBOLS])
    top = int(np.argmax(freqs[:SYMBOLS]))
    is_likely = freqs[top] >= LIKELY
    hint = (top, freqs[top], starts[top]) if is_likely else (NONE, 0, 0)
    lookup.hints[number] = (escape, *hint)
