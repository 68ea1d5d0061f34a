"""Lookup arrays that both coders read, made once for each table set.

The reciprocal replaces the encoder's division. Renormalisation keeps the state x below
``freq << 18``; with m = ceil(2^46 / freq) the error m*freq - 2^46 is below freq <= 2^14, so
``(x * m) >> 46`` is exactly x // freq and x * m stays below 2^64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tactic_codec.tables import LOWEST, SCALE, SYMBOLS, Table, TableSet

RECIPROCAL_BITS = 46
LIMIT_SHIFT = 18
CONSTANT = -2
NONE = -1
LIKELY = 3 * SCALE // 4

ENCODE = np.dtype(
    [("reciprocal", "u8"), ("limit", "u4"), ("start", "u2"), ("complement", "u2")], align=True
)
RANGE = np.dtype([("freq", "u2"), ("start", "u2")])
KIND = np.dtype([("escape", "i2"), ("likely", "i2")])


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Arrays for C channels; index 0 … 255 is symbol + 128.

    Attributes
    ----------
    encode : ENCODE array (C, 257)
        One entry a symbol, the escape last; ``limit`` 0 marks a symbol that is escaped.
    slots : uint8 (C, 2^14)
        Index of the symbol that owns a slot.
    ranges : RANGE array (C, 256)
        Frequency and first slot of each index.
    kinds : KIND array (C,)
        ``escape``: index that stands for the escape, ``NONE``, or ``CONSTANT``; ``likely``:
        index of a symbol of frequency 3/4 or more, or ``NONE``.
    values : int8 (C,)
        The symbol of a constant channel, otherwise 0: what a lost symbol is shown as.
    """

    encode: NDArray[np.void]
    slots: NDArray[np.uint8]
    ranges: NDArray[np.void]
    kinds: NDArray[np.void]
    values: NDArray[np.int8]


@lru_cache(maxsize=8)
def prepare(tables: TableSet) -> Prepared:
    """Lookup arrays of ``tables``; the last eight table sets are kept."""
    count = len(tables)
    prepared = Prepared(
        encode=np.zeros((count, SYMBOLS + 1), ENCODE),
        slots=np.zeros((count, SCALE), np.uint8),
        ranges=np.zeros((count, SYMBOLS), RANGE),
        kinds=np.full(count, np.array((CONSTANT, NONE), KIND)),
        values=np.zeros(count, np.int8),
    )
    for channel, table in enumerate(tables.tables):
        if table.is_constant:
            prepared.values[channel] = table.lo
        else:
            _fill(prepared, channel, table)
    return prepared


def _fill(prepared: Prepared, channel: int, table: Table) -> None:
    """Write the arrays of one channel that is not constant."""
    freqs = np.zeros(SYMBOLS + 1, np.uint64)
    freqs[table.lo - LOWEST : table.hi - LOWEST + 1] = table.freqs
    freqs[SYMBOLS] = table.escape
    starts = np.cumsum(freqs) - freqs
    divisor = np.maximum(freqs, 1)
    entry = prepared.encode[channel]
    entry["reciprocal"] = ((np.uint64(1) << np.uint64(RECIPROCAL_BITS)) + divisor - 1) // divisor
    entry["limit"] = freqs << LIMIT_SHIFT
    entry["start"] = starts
    entry["complement"] = SCALE - freqs
    # An escape exists only where some symbol has no slots of its own: it takes that index.
    indices = np.arange(SYMBOLS + 1)
    escape = int(np.argmin(freqs[:SYMBOLS])) if table.escape else NONE
    indices[SYMBOLS] = max(escape, 0)
    prepared.slots[channel] = np.repeat(indices, freqs.astype(np.int64))
    ranges = prepared.ranges[channel]
    ranges["freq"] = freqs[:SYMBOLS]
    ranges["start"] = np.where(freqs > 0, starts, 0)[:SYMBOLS]
    if table.escape:
        ranges[escape] = (freqs[SYMBOLS], starts[SYMBOLS])
    top = int(np.argmax(freqs[:SYMBOLS]))
    prepared.kinds[channel] = (escape, top if freqs[top] >= LIKELY else NONE)
