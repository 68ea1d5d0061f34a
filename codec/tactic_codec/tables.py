"""Integer probability tables: frozen, hashed, carried in the bundle.

A channel has one of its own, or chooses among several (``contexts.py``); what a table codes is
then the symbol less its foretold mean. Each table covers its own range [lo, hi] and an escape for
everything else, so rare symbols cost nothing until they occur. Normative text:
``docs/wire-format.md``, "Tables".
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tactic_codec.errors import TableError

SCALE_BITS = 14
SCALE = 1 << SCALE_BITS
SYMBOLS = 256
LOWEST, HIGHEST = -128, 127
RAW_FREQ = SCALE // SYMBOLS
RAW_BITS = 8.0
MAX_TABLES = 1024

_HEADER = struct.Struct("<4sBBH")
_TABLE = struct.Struct("<bBH")
_MAGIC = b"TTAB"
_VERSION = 1

# Below this share of one frequency unit a symbol is cheaper as an escape: coding it directly
# takes one unit from every other symbol, escaping it costs eight bits each time it occurs.
_DIRECT_UNITS = 0.25


@dataclass(frozen=True, slots=True)
class Table:
    """Frequencies of symbols in units of 2^-14.

    Attributes
    ----------
    lo : int
        Symbol of ``freqs[0]``, -128 … 127.
    freqs : tuple of int
        Frequency of each symbol from ``lo`` upwards, first and last above 0. A symbol of
        frequency 0 is escaped.
    escape : int
        Frequency of the escape, which is followed by one symbol of 8 uniform bits.

    Raises
    ------
    TableError
        The frequencies do not add up to 2^14, or some int8 symbol could not be coded.
    """

    lo: int
    freqs: tuple[int, ...]
    escape: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.freqs) <= SYMBOLS or self.lo < LOWEST or self.hi > HIGHEST:
            raise TableError(f"table range [{self.lo}, {self.hi}] is not within [-128, 127]")
        if min(self.freqs) < 0 or self.escape < 0 or not (self.freqs[0] and self.freqs[-1]):
            raise TableError("table has a negative frequency or a zero at an end of its range")
        if sum(self.freqs) + self.escape != SCALE:
            raise TableError(f"table adds up to {sum(self.freqs) + self.escape}, not to {SCALE}")
        complete = self.is_constant or sum(f > 0 for f in self.freqs) == SYMBOLS
        if complete != (self.escape == 0):
            raise TableError("table must have an escape exactly when it leaves symbols out")

    @property
    def hi(self) -> int:
        """Symbol of ``freqs[-1]``."""
        return self.lo + len(self.freqs) - 1

    @property
    def is_constant(self) -> bool:
        """Whether every symbol is ``lo``; a channel with such a table is not transmitted."""
        return self.freqs == (SCALE,)

    @classmethod
    def from_counts(cls, counts: NDArray[np.floating], lo: int) -> Table:
        """Fit a table to how often each symbol from ``lo`` upwards occurs.

        Uses only exact sums, x, / and comparisons on float64, so that the same counts give the
        same table on every machine. A channel in which at most one symbol occurs becomes
        constant.

        Parameters
        ----------
        counts : float array (n,), n <= 256
            Occurrences or probabilities, at least 0, in any unit.
        lo : int
            Symbol of ``counts[0]``.

        Raises
        ------
        TableError
            A count is negative or not finite, or the range leaves int8.
        """
        weights = np.asarray(counts, np.float64)
        if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
            raise TableError("counts must be a finite, non-negative vector")
        used = np.flatnonzero(weights)
        if len(used) <= 1:
            return cls(lo + int(used[0]) if len(used) else 0, (SCALE,), 0)
        weights = weights / weights.max()
        share = weights * (SCALE / math.fsum(weights))
        direct = share >= _DIRECT_UNITS
        escaped = [] if direct.sum() == SYMBOLS else [math.fsum(share[~direct])]
        units = _apportion(np.concatenate([share[direct], escaped]))
        freqs = np.zeros(len(share), np.int64)
        freqs[direct] = units[: direct.sum()]
        first, last = np.flatnonzero(direct)[[0, -1]]
        return cls(
            lo + int(first),
            tuple(freqs[first : last + 1].tolist()),
            int(units[-1]) if escaped else 0,
        )

    def bits(self) -> NDArray[np.float64]:
        """Ideal cost of each symbol -128 … 127 in bits, float64 (256,)."""
        if self.is_constant:
            return np.zeros(SYMBOLS)
        freqs = np.zeros(SYMBOLS, np.int64)
        freqs[self.lo - LOWEST : self.hi - LOWEST + 1] = self.freqs
        direct = SCALE_BITS - np.log2(np.maximum(freqs, 1))
        escaped = SCALE_BITS - np.log2(max(self.escape, 1)) + RAW_BITS
        return np.where(freqs > 0, direct, escaped)


@dataclass(frozen=True, slots=True)
class TableSet:
    """Tables by number; contexts say which channel uses which.

    Attributes
    ----------
    tables : tuple of Table
        1 … 1024 of them.
    sha256 : str
        Digest of :meth:`to_bytes`.
    """

    tables: tuple[Table, ...]
    sha256: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.tables) <= MAX_TABLES:
            raise TableError(f"{len(self.tables)} tables, allowed are 1 to {MAX_TABLES}")
        object.__setattr__(self, "sha256", hashlib.sha256(self.to_bytes()).hexdigest())

    def __len__(self) -> int:
        return len(self.tables)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def to_bytes(self) -> bytes:
        """Canonical form: equal table sets give equal bytes."""
        parts = [_HEADER.pack(_MAGIC, _VERSION, SCALE_BITS, len(self.tables))]
        for table in self.tables:
            parts.append(_TABLE.pack(table.lo, len(table.freqs) - 1, table.escape))
            parts.append(struct.pack(f"<{len(table.freqs)}H", *table.freqs))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> TableSet:
        """Read the canonical form.

        Raises
        ------
        TableError
            Another format, cut or trailing bytes, or a table that breaks an invariant.
        """
        try:
            magic, version, bits, count = _HEADER.unpack_from(data)
            if (magic, version, bits) != (_MAGIC, _VERSION, SCALE_BITS):
                raise TableError("not a table file of format 1 with 14-bit frequencies")
            tables, offset = [], _HEADER.size
            for _ in range(count):
                lo, last, escape = _TABLE.unpack_from(data, offset)
                freqs = struct.unpack_from(f"<{last + 1}H", data, offset + _TABLE.size)
                tables.append(Table(lo, freqs, escape))
                offset += _TABLE.size + 2 * len(freqs)
        except struct.error as fault:
            raise TableError(f"table file of {len(data)} bytes is cut short") from fault
        if offset != len(data):
            raise TableError(f"table file has {len(data) - offset} bytes left over")
        return cls(tuple(tables))


def _apportion(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round shares of 2^14 to integers of at least 1 that add up to 2^14 (Sainte-Laguë)."""
    units = np.maximum(np.floor(shares), 1).astype(np.int64)
    while (excess := int(units.sum()) - SCALE) != 0:
        if excess > 0:
            loss = np.where(units > 1, shares / (units - 0.5), np.inf)
            units[np.argmin(loss)] -= 1
        else:
            units[np.argmax(shares / (units + 0.5))] += 1
    return units
