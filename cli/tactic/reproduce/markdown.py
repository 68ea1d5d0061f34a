"""Rows as tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tactic.reproduce.cell import Json

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


def table1(rows: Sequence[Json]) -> str:
    """Table 1: every method, and what the paper has for it."""
    header = (
        "method",
        "setting",
        "accuracy, % [95 %]",
        "bytes",
        "without header",
        "bit/pixel",
        "bit/pixel, density",
        "paper: accuracy",
        "paper: bit/pixel",
    )
    return table(header, [_table1_row(row) for row in rows])


def _table1_row(row: Json) -> list[str]:
    beside = row["published"] or {}
    standard = row["bytes_standard"]
    whole = number(row["bytes"]) + (f" ({number(standard)})" if standard else "")
    return [
        row["method"],
        row["setting"] or NOTHING,
        spread(row["accuracy"], row["accuracy_interval"]),
        whole,
        number(row["bytes_stripped"]),
        number(row["bits_per_pixel"], 3),
        number(row["bits_per_pixel_density"], 3),
        per_cent(beside.get("accuracy")),
        number(beside.get("bits_per_pixel"), 4),
    ]


def table2(rows: Sequence[Json]) -> str:
    """Table 2: mean over seeds, and the gain of the aware codec over the others."""
    header = (
        "codec",
        "β",
        "accuracy, % ± sd [95 %]",
        "gain of aware, points ± sd [95 %]",
        "bytes",
        "bit/pixel",
        "PSNR, dB",
        "paper: accuracy",
    )
    text = table(header, [_table2_row(row) for row in rows])
    same = rows[-1].get("at_same_bytes")
    if same is None:
        return text
    gained = spread(same["gain"], same["gain_interval"])
    whose = "; agnostic takes more bytes even so" if same["in_their_favour"] else ""
    return f"{text}\nGain of aware at {rows[-1]['setting']}, at the same bytes: {gained}{whose}.\n"


def _table2_row(row: Json) -> list[str]:
    gained = "gain" in row
    return [
        row["method"],
        row["setting"].removeprefix("β = ") or NOTHING,
        spread(row["accuracy"], row["accuracy_interval"], row["accuracy_sd"]),
        spread(row["gain"], row["gain_interval"], row["gain_sd"]) if gained else NOTHING,
        number(row["bytes"]),
        number(row["bits_per_pixel"], 3),
        number(row["psnr_db"], 1),
        per_cent((row["published"] or {}).get("accuracy")),
    ]
