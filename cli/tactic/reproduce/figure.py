"""Figure 2: accuracy over bits per pixel, a line for each codec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tactic.evaluate import curves
from tactic.evaluate.plot import Line, Words, draw_lines, save
from tactic.evaluate.saved import Point
from tactic.reproduce.cell import Json

SUFFIXES = (".png", ".svg")
_COLOURS = {
    "JPEG": "#D55E00",
    "WebP": "#009E73",
    "AVIF": "#B5629B",
    "JPEG 2000": "#A07800",
    "paper's model": "#56B4E9",
    "tactic": "#0072B2",
}
_OURS = ("tactic",)


def write_figure(rows: Sequence[Json], pictures: int, out: Path) -> None:
    """Draw the rows of an experiment, once for each of ``SUFFIXES``.

    Parameters
    ----------
    rows : sequence of Json
        Those with a colour are drawn; the first is of uncompressed photos.
    pictures : int
        Photos judged by.
    out : Path
        Without a suffix.

    Raises
    ------
    OutputError
    """
    words = Words(
        "bits per pixel of whole files and packets (log scale)",
        "accuracy",
        f"{pictures:,} photos, a head tuned to each setting; bands: 95 % interval",
    )
    lines = [_line(name, rows) for name in _COLOURS if any(row["method"] == name for row in rows)]
    drawing = draw_lines(lines, rows[0]["accuracy"], words)
    for suffix in SUFFIXES:
        save(drawing, out.with_suffix(suffix))


def _line(name: str, rows: Sequence[Json]) -> Line:
    mine = [row for row in rows if row["method"] == name and row.get("part", "point") == "point"]
    size, accuracy = (
        np.array([row[key] for row in mine]) for key in ("bits_per_pixel", "accuracy")
    )
    points = tuple(
        Point(
            bytes=row["bits_per_pixel"],
            accuracy=row["accuracy"],
            accuracy_interval=row["accuracy_interval"],
            envelope=bool(kept),
        )
        for row, kept in zip(mine, curves.envelope(size, accuracy), strict=True)
    )
    return Line(name, _COLOURS[name], points, name in _OURS)
