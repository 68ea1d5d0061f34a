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
NO_ESCAPE = -1

ENCODE = np.dtype(
    [("reciprocal", "u8"), ("limit", "u4"), ("start", "u2"), ("complement", "u2")], align=True
)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Arrays for C channels; index 0 … 255 is symbol + 128.

    Attributes
    ----------
    encode : ENCODE array (C, 257)
        One entry a symbol, the escape last; ``limit`` 0 marks a symbol that is escaped.
    slots : uint8 (C, 2^14)
        Index of the symbol that owns a slot; an escape owns slots of index ``escape[c]``.
    ranges : uint32 (C, 256)
        ``start << 16 | freq`` of each index.
    escape : int16 (C,)
        Index that stands for the escape, ``NO_ESCAPE``, or ``CONSTANT``.
    values : int8 (C,)
        The symbol of a constant channel, otherwise 0: what a lost symbol is shown as.
    """

    encode: NDArray[np.void]
    slots: NDArray[np.uint8]
    ranges: NDArray[np.uint32]
    escape: NDArray[np.int16]
    values: NDArray[np.int8]


@lru_cache(maxsize=8)
def prepare(tables: TableSet) -> Prepared:
    """Lookup arrays of ``tables``; the last eight table sets are kept."""
    count = len(tables)
    prepared = Prepared(
        encode=np.zeros((count, SYMBOLS + 1), ENCODE),
        slots=np.zeros((count, SCALE), np.uint8),
        ranges=np.zeros((count, SYMBOLS), np.uint32),
        escape=np.full(count, CONSTANT, np.int16),
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
    escape = int(np.argmin(freqs[:SYMBOLS])) if table.escape else NO_ESCAPE
    indices[SYMBOLS] = max(escape, 0)
    prepared.escape[channel] = escape
    prepared.slots[channel] = np.repeat(indices, freqs.astype(np.int64))
    packed = (starts << np.uint64(16) | freqs).astype(np.uint32)
    prepared.ranges[channel] = packed[:SYMBOLS]
    if table.escape:
        prepared.ranges[channel, escape] = packed[SYMBOLS]
