"""Entropy models: tables, and the contexts that choose among them, one model a chain of levels.

The file that a bundle carries them in is read only if every rule holds. Normative text:
``docs/wire-format.md``, "Entropy file".
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tactic_codec.contexts import Context, Tap, select
from tactic_codec.errors import TableError
from tactic_codec.tables import LOWEST, TableSet

MAX_CHANNELS = 1024
MAX_MODELS = 2

_HEADER = struct.Struct("<4sBB")
_CHANNELS = struct.Struct("<H")
_CONTEXT = struct.Struct("<HBBBBBi")
_TAP = struct.Struct("<Hbbh")
_MAGIC = b"TENT"
_VERSION = 2


@dataclass(frozen=True, slots=True)
class EntropyModel:
    """Probabilities of every symbol of the planes of a stream.

    Attributes
    ----------
    tables : TableSet
        All models of a bundle share one.
    contexts : tuple of Context
        One for each of 1 … 1024 channels, which are the planes of a stream in order.

    Raises
    ------
    TableError
        A tap is not yet decoded where it is needed, or a context chooses a table that is not
        there, or that cannot code every symbol.
    """

    tables: TableSet
    contexts: tuple[Context, ...]
    _digest: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.contexts) <= MAX_CHANNELS:
            raise TableError(f"{len(self.contexts)} channels, allowed are 1 to {MAX_CHANNELS}")
        for channel, context in enumerate(self.contexts):
            if not context.is_decodable(channel):
                raise TableError(f"context of channel {channel} has a tap that comes too late")
            if context.tables.stop > len(self.tables):
                raise TableError(f"context of channel {channel} asks for a table that is missing")
            chosen = self.tables.tables[context.first : context.tables.stop]
            if not context.is_static and any(table.is_constant for table in chosen):
                raise TableError(f"context of channel {channel} chooses a constant table")
        own = b"".join(_context_bytes(context) for context in self.contexts)
        digest = hashlib.sha256(bytes.fromhex(self.tables.sha256) + own).digest()
        object.__setattr__(self, "_digest", digest)

    def __hash__(self) -> int:
        return hash(self._digest)

    @classmethod
    def static(cls, tables: TableSet) -> EntropyModel:
        """The model without contexts: each channel has one table, in order."""
        return cls(tables, tuple(Context(first) for first in range(len(tables))))

    def constant(self, channel: int) -> int | None:
        """The only symbol of a channel that is not transmitted; None for other channels."""
        context = self.contexts[channel]
        table = self.tables.tables[context.first]
        return table.lo if context.is_static and table.is_constant else None

    def settled(self, symbols: NDArray[np.int8]) -> NDArray[np.int8]:
        """A copy of latents (..., C, h, w) with constant channels as a decoder shows them."""
        settled = symbols.copy()
        for channel in range(symbols.shape[-3]):
            if (value := self.constant(channel)) is not None:
                settled[..., channel, :, :] = value
        return settled

    def ideal_bits(self, symbols: NDArray[np.int8]) -> float:
        """Bits an ideal coder spends on the first ``len(symbols)`` channels, int8 (C, h, w)."""
        costs, settled = _costs(self.tables), self.settled(symbols)[np.newaxis]
        bits = 0.0
        for channel, context in enumerate(self.contexts[: len(symbols)]):
            base, table = select(settled, channel, context)
            residual = (settled[:, channel] - base).astype(np.int8)
            bits += float(costs[table, residual.astype(np.int64) - LOWEST].sum())
        return bits


def write_models(models: tuple[EntropyModel, ...]) -> bytes:
    """Canonical form of the models of all chains: equal models give equal bytes.

    Raises
    ------
    TableError
        None or more than 2 models, or they differ in tables.
    """
    if not 1 <= len(models) <= MAX_MODELS:
        raise TableError(f"{len(models)} entropy models, allowed are 1 to {MAX_MODELS}")
    if any(model.tables != models[0].tables for model in models):
        raise TableError("entropy models differ in tables")
    parts = [_HEADER.pack(_MAGIC, _VERSION, len(models))]
    for model in models:
        parts.append(_CHANNELS.pack(len(model.contexts)))
        parts += map(_context_bytes, model.contexts)
    return b"".join([*parts, models[0].tables.to_bytes()])


def read_models(data: bytes) -> tuple[EntropyModel, ...]:
    """Read the canonical form; the models share one `TableSet`.

    Raises
    ------
    TableError
        Another format, cut or trailing bytes, or a table or context that breaks a rule.
    """
    try:
        magic, version, count = _HEADER.unpack_from(data)
        if (magic, version) != (_MAGIC, _VERSION):
            raise TableError("not an entropy file of format 2")
        if not 1 <= count <= MAX_MODELS:
            raise TableError(f"entropy file of {count} models")
        found, offset = [], _HEADER.size
        for _ in range(count):
            contexts, offset = _read_contexts(data, offset)
            found.append(contexts)
    except struct.error as fault:
        raise TableError(f"entropy file of {len(data)} bytes is cut short") from fault
    tables = TableSet.from_bytes(data[offset:])
    return tuple(EntropyModel(tables, contexts) for contexts in found)


def _read_contexts(data: bytes, offset: int) -> tuple[tuple[Context, ...], int]:
    (channels,) = _CHANNELS.unpack_from(data, offset)
    if not 1 <= channels <= MAX_CHANNELS:
        raise TableError(f"entropy model of {channels} channels")
    contexts, offset = [], offset + _CHANNELS.size
    for _ in range(channels):
        context, offset = _read_context(data, offset)
        contexts.append(context)
    return tuple(contexts), offset


def _context_bytes(context: Context) -> bytes:
    parts = [
        _CONTEXT.pack(
            context.first,
            context.bins,
            context.lowest,
            context.fractions,
            len(context.mean),
            len(context.scale),
            context.bias,
        )
    ]
    parts += [_TAP.pack(*tap) for tap in context.mean + context.scale]
    return b"".join(parts)


def _read_context(data: bytes, offset: int) -> tuple[Context, int]:
    first, bins, lowest, fractions, means, scales, bias = _CONTEXT.unpack_from(data, offset)
    offset += _CONTEXT.size
    end = offset + (means + scales) * _TAP.size
    if end > len(data):
        raise TableError(f"entropy file of {len(data)} bytes is cut short")
    taps = tuple(Tap(*fields) for fields in _TAP.iter_unpack(data[offset:end]))
    return Context(first, taps[:means], taps[means:], bias, bins, lowest, fractions), end


@lru_cache(maxsize=8)
def _costs(tables: TableSet) -> NDArray[np.float64]:
    """Bits of each residual -128 … 127 with each table, float64 (tables, 256)."""
    return np.stack([table.bits() for table in tables.tables])
