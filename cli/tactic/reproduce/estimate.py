"""How long cells take: as long as they took, else by their images, set right by those done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tactic.reproduce.cell import Cell, Json, Result
from tactic.reproduce.lab import Lab
from tactic.reproduce.preset import Preset


@dataclass(frozen=True, slots=True)
class Row:
    """A line of ``--list``."""

    name: str
    digest: str
    done: bool
    minutes: float

    def as_json(self) -> Json:
        """The same as a JSON object."""
        return {
            "cell": self.name,
            "digest": self.digest,
            "done": self.done,
            "minutes": round(self.minutes, 2),
        }


def estimate(lab: Lab, cells: Sequence[Cell], preset: Preset) -> list[Row]:
    """A row for each cell."""
    results = {cell.key: lab.result(cell) for cell in cells}
    rows = []
    for cell in cells:
        result = results[cell.key]
        expected_s = _by_images(cell, preset) * _pace(cell, cells, results, preset)
        wall_s = expected_s if result is None else result.wall_s
        rows.append(Row(cell.name, cell.digest, result is not None, wall_s / 60))
    return rows


def _by_images(cell: Cell, preset: Preset) -> float:
    return sum(count / preset.images_per_s[what] for what, count in cell.images().items())


def _pace(
    cell: Cell, cells: Sequence[Cell], results: dict[str, Result | None], preset: Preset
) -> float:
    """What cells of the same kind took, relative to what was expected of them."""
    took_s = expected_s = 0.0
    for other in cells:
        result = results[other.key]
        if result and not result.resumed and type(other) is type(cell):
            took_s += result.wall_s
            expected_s += _by_images(other, preset)
    return took_s / expected_s if expected_s else 1.0
