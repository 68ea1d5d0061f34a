"""The entropy coder in Python: the same bytes as ``librans.c``, at about a hundredth of its speed.

Normative text: ``docs/wire-format.md``, "Stream". It is the readable form of the format.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic_codec.prepared import CONSTANT, LIMIT_SHIFT, Prepared
from tactic_codec.tables import LOWEST, RAW_FREQ, SCALE, SCALE_BITS, SYMBOLS

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
        """Encode the first ``len(symbols)`` channels of (C, n)."""
        words: list[int] = []
        state = LOWER
        for channel in reversed(range(len(symbols))):
            if prepared.kinds["escape"][channel] != CONSTANT:
                indices = symbols[channel].astype(np.int64) - LOWEST
                state = _encode_row(state, indices[::-1].tolist(), prepared, channel, words)
        return state.to_bytes(STATE_BYTES, "little") + np.array(words[::-1], "<u2").tobytes()

    def decode(self, data: bytes, prepared: Prepared, symbols: NDArray[np.int8]) -> Outcome:
        """Decode into ``symbols`` (C, n); what is not decoded is left as it is."""
        words = np.frombuffer(data, "<u2", offset=STATE_BYTES).tolist()
        reader = _Reader(int.from_bytes(data[:STATE_BYTES], "little"), words)
        done = 0
        for channel, row in enumerate(symbols):
            if prepared.kinds["escape"][channel] == CONSTANT:
                done += len(row)
                continue
            values = reader.row(prepared, channel, len(row))
            row[: len(values)] = np.array(values, np.int16) + LOWEST
            done += len(values)
            if reader.fault:
                break
        return Outcome(done, reader.position, reader.state, reader.fault)


def _encode_row(
    state: int, indices: list[int], prepared: Prepared, channel: int, words: list[int]
) -> int:
    """Put one channel, last symbol first; returns the new state."""
    entries = prepared.encode[channel]
    limits: list[int] = entries["limit"].tolist()
    starts: list[int] = entries["start"].tolist()
    for index in indices:
        limit = limits[index]
        if not limit:
            state = _put(state, RAW_FREQ, index * RAW_FREQ, words)
            limit, start = limits[SYMBOLS], starts[SYMBOLS]
        else:
            start = starts[index]
        if state >= limit:
            words.append(state & 0xFFFF)
            state >>= 16
        quotient, rest = divmod(state, limit >> LIMIT_SHIFT)
        state = (quotient << SCALE_BITS) + rest + start
    return state


def _put(state: int, freq: int, start: int, words: list[int]) -> int:
    if state >= freq << LIMIT_SHIFT:
        words.append(state & 0xFFFF)
        state >>= 16
    return (state // freq << SCALE_BITS) + state % freq + start


class _Reader:
    """State and position of a decoder between channels."""

    def __init__(self, state: int, words: list[int]) -> None:
        self.state = state
        self.position = 0
        self.fault = COMPLETE
        self._words = words

    def row(self, prepared: Prepared, channel: int, count: int) -> list[int]:
        """Read the indices of the next ``count`` symbols, fewer where ``fault`` gets set."""
        slots = prepared.slots[channel].tobytes()
        ranges = prepared.ranges[channel]
        freqs: list[int] = ranges["freq"].tolist()
        starts: list[int] = ranges["start"].tolist()
        escape = int(prepared.kinds["escape"][channel])
        state, position, words = self.state, self.position, self._words
        row: list[int] = []
        for _ in range(count):
            if state < LOWER:
                if position == len(words):
                    self.fault = CUT
                    break
                state = state << 16 | words[position]
                position += 1
            low = state & SCALE - 1
            index = slots[low]
            state = freqs[index] * (state >> SCALE_BITS) + low - starts[index]
            if index == escape:
                if state < LOWER:
                    if position == len(words):
                        self.fault = CUT
                        break
                    state = state << 16 | words[position]
                    position += 1
                index, rest = divmod(state & SCALE - 1, RAW_FREQ)
                state = RAW_FREQ * (state >> SCALE_BITS) + rest
                if index != escape and freqs[index]:
                    self.fault = NOT_CANONICAL
                    break
            row.append(index)
        self.state, self.position = state, position
        return row
