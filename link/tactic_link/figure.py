"""Figures as presets give them: a value, its unit, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from tactic_codec.config import Section

#: unit → (what it measures, factor to bit/s, bytes, seconds, 1, W, USD, degrees or Hz)
UNITS: dict[str, tuple[str, float]] = {
    "bit/s": ("rate", 1.0),
    "kbit/s": ("rate", 1e3),
    "Mbit/s": ("rate", 1e6),
    "byte": ("size", 1.0),
    "kB": ("size", 1e3),
    "MB": ("size", 1e6),
    "ms": ("time", 1e-3),
    "s": ("time", 1.0),
    "min": ("time", 60.0),
    "h": ("time", 3600.0),
    "%": ("share", 0.01),
    "1": ("count", 1.0),
    "W": ("power", 1.0),
    "USD": ("money", 1.0),
    "deg": ("angle", 1.0),
    "kHz": ("frequency", 1e3),
}


class Figure(Section):
    """One value of a preset.

    ``source`` names a publication or a vendor's sheet, or begins with the word ``assumption``.
    """

    value: float
    unit: str
    source: str = Field(min_length=3)

    @property
    def base(self) -> float:
        """The value in bit/s, bytes, seconds, W, USD, degrees or Hz; a share as 0 … 1."""
        return self.value * UNITS[self.unit][1]

    @property
    def ns(self) -> int:
        """A time in nanoseconds."""
        return round(self.base * 1e9)

    @property
    def is_assumed(self) -> bool:
        """Whether nobody vouches for it."""
        return self.source.startswith("assumption")


def _of(kind: str, least: float, most: float) -> Callable[[Figure], Figure]:
    """Check that a figure measures what it should and lies between two base values."""
    known = [unit for unit, (measured, _) in UNITS.items() if measured == kind]

    def check(figure: Figure) -> Figure:
        if figure.unit not in known:
            raise ValueError(f"unit {figure.unit!r}; a {kind} is given in {', '.join(known)}")
        if not least <= figure.base <= most:
            raise ValueError(f"{figure.value:g} {figure.unit} is out of range")
        return figure

    return check


Rate = Annotated[Figure, AfterValidator(_of("rate", 1.0, 1e12))]
Size = Annotated[Figure, AfterValidator(_of("size", 0.0, 1e9))]
Time = Annotated[Figure, AfterValidator(_of("time", 0.0, 1e7))]
Share = Annotated[Figure, AfterValidator(_of("share", 0.0, 1.0))]
Count = Annotated[Figure, AfterValidator(_of("count", 1.0, 1e6))]
Power = Annotated[Figure, AfterValidator(_of("power", 0.0, 1e6))]
Money = Annotated[Figure, AfterValidator(_of("money", 0.0, 1e9))]
Angle = Annotated[Figure, AfterValidator(_of("angle", 0.0, 90.0))]
Frequency = Annotated[Figure, AfterValidator(_of("frequency", 1e3, 1e9))]
