"""The entropy coder in Python: the same bytes as ``librans.c``, at about a hundredth of its speed.

Normative text: ``docs/wire-format.md``, "Stream". It is the readable form of the format.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from tactic_codec.contexts import Context, choose, select, weighted_sum
from tactic_codec.prepared import CONSTANT, ENTRIES, LIMIT_SHIFT, STATIC, Lookup, Prepared
from tactic_codec.tables import HIGHEST, LOWEST, RAW_FREQ, SCALE, SCALE_BITS, SYMBOLS

LOWER = 1 << 16
STATE_BYTES = 4
COMPLETE, CUT, NOT_CANONICAL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a decoder came.

    Attributes
    ----------
    symbols : int
        Symbols decoded, in stream order, those of constant channels included.
    consumed : int
        16-bit words read.
    state : int
        uint32, the coder's state after the last symbol; 2^16 when the stream is complete.
    fault : int
        ``COMPLETE``, ``CUT`` (words ran out) or ``NOT_CANONICAL`` (a symbol that has a
        frequency of its own was escaped).
    """

    symbols: int
    consumed: int
    state: int
    fault: int


class Twin:
    """The coder without the C library."""

    def encode(self, symbols: NDArray[np.int8], prepared: Prepared) -> bytes:
        """Encode the first ``len(symbols)`` channels of (C, h, w)."""
        settled = prepared.model.settled(symbols)[np.newaxis]
        rows, modes = [np.zeros(0, np.int64)], prepared.contexts["mode"].tolist()
        for channel in range(len(symbols)):
            if modes[channel] != CONSTANT:
                base, table = select(settled, channel, prepared.model.contexts[channel])
                rows.append(_steps(prepared.lookup, symbols[channel], base[0], table[0]))
        words: list[int] = []
        state = _put(prepared.lookup, np.concatenate(rows)[::-1].tolist(), words)
        return state.to_bytes(STATE_BYTES, "little") + np.array(words[::-1], "<u2").tobytes()

    def decode(self, data: bytes, prepared: Prepared, symbols: NDArray[np.int8]) -> Outcome:
        """Decode into ``symbols`` (C, h, w), contiguous; what is not decoded is left as it is.

        Constant channels must hold their constants.
        """
        words = np.frombuffer(data, "<u2", offset=STATE_BYTES).tolist()
        reader = _Reader(int.from_bytes(data[:STATE_BYTES], "little"), words, prepared.lookup)
        done = 0
        for channel, plane in enumerate(symbols):
            if prepared.contexts["mode"][channel] != CONSTANT:
                row: list[int] = []
                reader.read(_choices(prepared, channel, symbols, row), row)
                plane.reshape(-1)[: len(row)] = np.array(row, np.int8)
                done += len(row)
            else:
                done += plane.size
            if reader.fault:
                break
        return Outcome(done, reader.position, reader.state, reader.fault)


def _steps(
    lookup: Lookup, symbols: NDArray[np.int8], base: NDArray[np.int32], table: NDArray[np.int32]
) -> NDArray[np.int64]:
    """What the coder takes in for a channel, first symbol first.

    A step is a table's number * 257 + the index of a residual or of the escape. Raw symbols
    are steps of one more table.
    """
    symbol, first = symbols.ravel().astype(np.int64), table.ravel().astype(np.int64) * ENTRIES
    residual = (symbol - base.ravel()).astype(np.int8)
    steps = first + residual - LOWEST
    escaped = np.flatnonzero(lookup.encode["limit"].reshape(-1)[steps] == 0)
    if not len(escaped):
        return steps
    steps[escaped] = first[escaped] + SYMBOLS
    raw = lookup.encode.size + symbol[escaped] - LOWEST
    return np.insert(steps, escaped + 1, raw)


def _put(lookup: Lookup, steps: list[int], words: list[int]) -> int:
    """Take in steps, last one of the stream first; returns the final state."""
    limits = lookup.encode["limit"].ravel().tolist() + [RAW_FREQ << LIMIT_SHIFT] * SYMBOLS
    starts = [*lookup.encode["start"].ravel().tolist(), *range(0, SCALE, RAW_FREQ)]
    state = LOWER
    for step in steps:
        limit = limits[step]
        if state >= limit:
            words.append(state & 0xFFFF)
            state >>= 16
        quotient, rest = divmod(state, limit >> LIMIT_SHIFT)
        state = (quotient << SCALE_BITS) + rest + starts[step]
    return state


def _choices(
    prepared: Prepared, channel: int, symbols: NDArray[np.int8], row: list[int]
) -> Iterable[tuple[int, int]]:
    """Base and table of each symbol of a channel; ``row`` grows by each before the next."""
    context, shape = prepared.model.contexts[channel], (1, *symbols.shape[1:])
    if prepared.contexts["mode"][channel] == STATIC:
        return repeat((0, context.first), symbols[channel].size)
    others, batch = [tap for tap in context.mean if tap.channel < channel], symbols[np.newaxis]
    mean = weighted_sum(batch, others, shape)
    others = [tap for tap in context.scale if tap.channel < channel]
    scale = weighted_sum(batch, others, shape, magnitudes=True) + np.int32(context.bias)
    own = _own_weights(context, channel)
    if own:
        return _own_choices(context, own, mean[0].tolist(), scale[0].tolist(), row)
    base, table = choose(context, mean, scale)
    return zip(base.ravel().tolist(), table.ravel().tolist(), strict=True)


def _own_weights(context: Context, channel: int) -> list[tuple[int, int, int, int]]:
    """Places in the channel itself, with their weights in the mean and in the scale."""
    mean = {tap[1:3]: tap.weight for tap in context.mean if tap.channel == channel}
    scale = {tap[1:3]: tap.weight for tap in context.scale if tap.channel == channel}
    return [(*place, mean.get(place, 0), scale.get(place, 0)) for place in mean | scale]


def _own_choices(
    context: Context,
    own: list[tuple[int, int, int, int]],
    means: list[list[int]],
    scales: list[list[int]],
    row: list[int],
) -> Iterator[tuple[int, int]]:
    """Choices that depend on the symbol before: ``choose``, a symbol at a time."""
    thresholds = context.thresholds
    for y, (mean_row, scale_row) in enumerate(zip(means, scales, strict=True)):
        width = len(mean_row)
        for x, (mean, scale) in enumerate(zip(mean_row, scale_row, strict=True)):
            m, a = mean, scale
            for dy, dx, mean_weight, scale_weight in own:
                if y + dy >= 0 and 0 <= x + dx < width:
                    seen = row[(y + dy) * width + x + dx]
                    m += mean_weight * seen
                    a += scale_weight * abs(seen)
            quarters = (m + 32) >> 6 if context.fractions == 4 else ((m + 128) >> 8) << 2
            table = context.first + bisect_right(thresholds, a) * context.fractions
            yield min(max(quarters >> 2, LOWEST), HIGHEST), table + (quarters & 3)


class _Reader:
    """State and position of a decoder between channels."""

    def __init__(self, state: int, words: list[int], lookup: Lookup) -> None:
        self.state = state
        self.position = 0
        self.fault = COMPLETE
        self._words = words
        self._lookup = lookup
        self._tables: dict[int, tuple[bytes, list[int], list[int], int]] = {}

    def read(self, choices: Iterable[tuple[int, int]], row: list[int]) -> None:
        """Append a symbol to ``row`` for each base and table, until ``fault`` gets set."""
        state, position, words = self.state, self.position, self._words
        current = -1
        for base, number in choices:
            if number != current:
                current, (slots, freqs, starts, escape) = number, self._table(number)
            if state < LOWER:
                if position == len(words):
                    self.fault = CUT
                    break
                state = state << 16 | words[position]
                position += 1
            low = state & SCALE - 1
            index = slots[low]
            state = freqs[index] * (state >> SCALE_BITS) + low - starts[index]
            symbol = (base + index & 0xFF) + LOWEST if base else index + LOWEST
            if index == escape:
                if state < LOWER:
                    if position == len(words):
                        self.fault = CUT
                        break
                    state = state << 16 | words[position]
                    position += 1
                value, rest = divmod(state & SCALE - 1, RAW_FREQ)
                state = RAW_FREQ * (state >> SCALE_BITS) + rest
                symbol, index = value + LOWEST, value - base & 0xFF
                if index != escape and freqs[index]:
                    self.fault = NOT_CANONICAL
                    break
            row.append(symbol)
        self.state, self.position = state, position

    def _table(self, number: int) -> tuple[bytes, list[int], list[int], int]:
        if number not in self._tables:
            ranges = self._lookup.ranges[number]
            slots = self._lookup.slots[number].tobytes()
            escape = int(self._lookup.hints["escape"][number])
            self._tables[number] = slots, ranges["freq"].tolist(), ranges["start"].tolist(), escape
        return self._tables[number]
