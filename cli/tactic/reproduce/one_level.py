"""The rows of ``levels``: what it costs that one model serves all rate levels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tactic.evaluate import curves
from tactic.reproduce import statistics
from tactic.reproduce.cell import Json, Result
from tactic.reproduce.plans import Cells
from tactic.reproduce.tables import row

ALL = "all levels"


def levels_rows(cells: Cells, results: Mapping[str, Result]) -> list[Json]:
    """Both codecs at each level, and the bytes of one for all at the accuracy of one alone.

    ``ratio`` is above 1 where a model for this level alone needs fewer bytes; None where the
    curve of the model for all levels does not reach its accuracy.
    """
    seed = cells.preset.seeds[0]
    ours = cells.ours(seed)
    found = [results[cell.name] for cell in ours]
    sizes = np.array([each.figures.bytes for each in found], float)
    right = np.stack([statistics.each_right(each) for each in found])
    share = curves.weights(sizes.shape[1])
    rows = []
    for cell in ours:
        alone = cells.one_level(seed, cell.level)
        result = results[alone.name]
        each = row("this level only", f"level {cell.level}", [alone], results, None)
        ratios = [
            curves.bytes_at(sizes @ part, right @ part, statistics.each_right(result) @ part)
            / (np.asarray(result.figures.bytes, float) @ part)
            for part in (np.full((sizes.shape[1], 1), 1 / sizes.shape[1]), share)
        ]
        known = not np.isnan(ratios[0][0])
        each["ratio"] = float(ratios[0][0]) if known else None
        each["ratio_interval"] = curves.interval(ratios[1]) if known else None
        rows += [row(ALL, f"level {cell.level}", [cell], results, None), each]
    return rows
