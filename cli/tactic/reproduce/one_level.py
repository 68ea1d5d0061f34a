"""The rows of ``levels`` and ``parts``: our codec trained otherwise, beside itself.

``ratio`` is the bytes of our codec, read off its curve, at the accuracy of the other one, relative
to the other's bytes: below 1 where ours needs fewer. It is None where the curve of ours does not
reach that accuracy. Where all of that curve is more accurate, its smallest point counts: then
``at_most`` is true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tactic.reproduce import statistics
from tactic.reproduce.cell import Json, Result
from tactic.reproduce.learned import Learned
from tactic.reproduce.ours import PARTS
from tactic.reproduce.plans import Cells
from tactic.reproduce.tables import row

ALL = "all levels"
WHOLE = "nothing"

Results = Mapping[str, Result]


def levels_rows(cells: Cells, results: Results) -> list[Json]:
    """Both codecs at each level."""
    seed = cells.preset.seeds[0]
    ours, rows = cells.ours(seed), []
    for cell in ours:
        alone = cells.one_level(seed, cell.level)
        rows.append(_row(ALL, cell, results))
        rows.append(_row("this level only", alone, results) | _against(alone, ours, results))
    return rows


def parts_rows(cells: Cells, results: Results) -> list[Json]:
    """The whole at its levels, then without each part."""
    seed = cells.preset.seeds[0]
    whole = cells.shorter(seed, None)
    rows = [_row(WHOLE, cell, results) for cell in whole]
    for part in PARTS:
        for cell in cells.shorter(seed, part):
            rows.append(_row(part, cell, results) | _against(cell, whole, results))
    return rows


def _row(name: str, cell: Learned, results: Results) -> Json:
    return row(name, f"level {cell.level}", [cell], results, None)


def _against(other: Learned, ours: Sequence[Learned], results: Results) -> Json:
    """``ratio``, and its interval over photos."""
    result = results[other.name]
    found = [results[cell.name] for cell in ours]
    return statistics.bytes_at_accuracy_of(
        np.asarray(result.figures.bytes, float),
        statistics.each_right(result),
        np.array([each.figures.bytes for each in found], float),
        np.stack([statistics.each_right(each) for each in found]),
    )
