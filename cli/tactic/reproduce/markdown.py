"""Rows as tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

NOTHING = "–"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures."""
    rule = ["---", *("---:" for _ in header[1:])]
    lines = [" | ".join(cells) for cells in (header, rule, *rows)]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def per_cent(value: float | None, decimals: int = 1) -> str:
    """A share of 1 in per cent, without the sign."""
    return NOTHING if value is None else f"{100 * value:.{decimals}f}"


def number(value: float | None, decimals: int = 0) -> str:
    """A figure with so many decimals."""
    return NOTHING if value is None else f"{value:,.{decimals}f}"


def spread(value: float, interval: Sequence[float] | None, deviation: float | None = None) -> str:
    """A share in per cent, ± the seeds' standard deviation, [its interval]."""
    text = per_cent(value)
    if deviation is not None:
        text += f" ± {per_cent(deviation)}"
    return text + (f" [{per_cent(interval[0])}, {per_cent(interval[1])}]" if interval else "")


def times(ratio: float | None, interval: Sequence[float] | None, at_most: bool = False) -> str:
    """A ratio, [its interval]; ≤ where it was read off a curve's end, more accurate all over."""
    text = NOTHING if ratio is None else f"{'≤ ' if at_most else ''}{ratio:.2f} ×"
    return text + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def saving(value: float | None, interval: Sequence[float] | None) -> str:
    """A difference in per cent with its sign, [its interval]."""
    text = NOTHING if value is None else f"{100 * value:+.0f}"
    return text + (f" [{100 * interval[0]:+.0f}, {100 * interval[1]:+.0f}]" if interval else "")
