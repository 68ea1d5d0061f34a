"""Numbers as people read them."""

from __future__ import annotations

from rich import box
from rich.table import Table

_DAY_S = 86400.0


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it."""
    if seconds is None:
        return "–"
    for unit, length in (("d", _DAY_S), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 2 * length or (unit == "d" and seconds == length):
            return f"{seconds / length:.3g} {unit}"
    if seconds >= 1:
        return f"{seconds:.2g} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.001 else "< 1 ms"


def scaled(value: float, unit: str) -> str:
    """A number with the prefix that suits it."""
    for prefix, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def money(usd: float | None) -> str:
    """A price, a dash where it is unknown."""
    return "–" if usd is None else f"{usd:,.2f} $"


def table(caption: str) -> Table:
    """An empty table."""
    return Table(
        box=box.SIMPLE_HEAD,
        caption=caption or None,
        caption_justify="left",
        collapse_padding=True,
        pad_edge=False,
    )
