"""A comparison or a sweep as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from tactic_link.compare import Comparison
from tactic_link.words import duration, money, table

Json = dict[str, Any]

_LEAST_WIDTH = 126


def open_console() -> Console:
    """Standard output, wide enough for the tables: a cell that is cut off says nothing."""
    console = Console(highlight=False)
    console.width = max(console.width, _LEAST_WIDTH)
    return console


def show_comparison(comparison: Comparison, result: Json, console: Console) -> None:
    """Print a row for each setting, and what tactic brings per decision of the others."""
    needed = max(0.0, result["accuracy_needed"])
    console.print(
        f"{result['preset']}: {result['nodes']} × {result['fps']:g} frames/s for "
        f"{duration(result['seconds'])}, {duration(result['contact_s'])} of contact; "
        f"{result['photos']} photos, uncompressed {result['clean_accuracy']:.1%}, "
        f"{result['seeds']} seed{'s' * (result['seeds'] > 1)}"
    )
    rows = table(f"dim: below {needed:.1%} accuracy ({comparison.loss:.0%} less than uncompressed)")
    for name in ("codec", "setting"):
        rows.add_column(name, no_wrap=True)
    headings = ("B/frame", "accuracy", "frames", "correct", "", "MB", "cost", "kJ", "p50", "p95")
    for name in headings:
        rows.add_column(name, justify="right", no_wrap=True)
    best = {id(c) for codec in comparison.codecs if (c := comparison.best(codec))}
    for contender, row in zip(comparison.contenders, result["settings"], strict=True):
        chosen = "bold" if id(contender) in best else None if row["competes"] else "dim"
        rows.add_row(row["codec"], row["setting"], *_cells(row), style=chosen)
    console.print(rows)
    for line in _ratio_lines(result):
        console.print(line)


def show_sweep(key: str, points: Sequence[tuple[str, Json]], console: Console) -> None:
    """Print the best of every codec for each value of what was varied."""
    rows = table("correct decisions, median delay, cost; the best setting that competes")
    rows.add_column(key, no_wrap=True)
    codecs = list(points[0][1]["codecs"])
    for name in codecs:
        rows.add_column(name, justify="right")
    for value, result in points:
        rows.add_row(value, *(_best_cell(result["codecs"][name]) for name in codecs))
    console.print(rows)


def _cells(row: Json) -> tuple[str, ...]:
    low, high = row["correct_interval"]
    return (
        f"{row['frame_bytes']:,.0f}",
        f"{row['accuracy']:.1%}",
        f"{row['frames']:,.0f}",
        f"{row['correct']:,.0f}",
        f"[{low:,.0f}, {high:,.0f}]".replace("[", r"\["),
        f"{row['bytes'] / 1e6:,.2f}",
        money(row["cost"]),
        f"{row['energy_j'] / 1e3:,.2f}",
        duration(row["delay_p50_s"]),
        duration(row["delay_p95_s"]),
    )


def _best_cell(row: Json | None) -> str:
    if row is None:
        return "–"
    return f"{row['correct']:,.0f} · {duration(row['delay_p50_s'])} · {money(row['cost'])}"


def _ratio_lines(result: Json) -> Iterator[str]:
    for codec, row in result["correct_ratio"].items():
        if row:
            low, high = row["interval"]
            yield (
                f"correct decisions of tactic per one of {codec}: {row['ratio']:.2f} "
                rf"\[{low:.2f}, {high:.2f}]"
            )
        elif result["codecs"][codec] is None:
            yield f"{codec}: no setting reaches the accuracy"
        else:
            yield f"{codec}: not compared"
