"""When a link can be used: contact windows, as tables, cycles, or always."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tactic_link.errors import LinkError

S = 1_000_000_000
_FOR_EVER_NS = 1 << 62
_REMEDY = "give a CSV with the columns start_s, end_s and, if wanted, rate_bps"


@dataclass(frozen=True, slots=True)
class Window:
    """A time of contact.

    Attributes
    ----------
    start_ns, end_ns : int
        Since the beginning of the simulation; the end is outside.
    rate_bps : float or None
        Rate towards the gateway during it; None: that of the preset.
    """

    start_ns: int
    end_ns: int
    rate_bps: float | None = None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end_ns - self.start_ns) / S


class Contacts(Protocol):
    """Windows in rising order that do not overlap."""

    def at(self, now_ns: int) -> Window | None:
        """The window that holds ``now_ns``, else the next one; None after the last."""
        ...


class Always:
    """One window that never ends."""

    def at(self, now_ns: int) -> Window | None:
        """See `Contacts`."""
        return Window(0, _FOR_EVER_NS)


@dataclass(frozen=True, slots=True)
class Cycle:
    """Contact for ``on_ns``, none for ``off_ns``, from time 0 on, for ever."""

    on_ns: int
    off_ns: int

    def at(self, now_ns: int) -> Window | None:
        """See `Contacts`."""
        length_ns = self.on_ns + self.off_ns
        start_ns = now_ns // length_ns * length_ns
        if now_ns >= start_ns + self.on_ns:
            start_ns += length_ns
        return Window(start_ns, start_ns + self.on_ns)


class Table:
    """Windows that are known one by one.

    Parameters
    ----------
    windows : iterable of Window
        In any order. Those that touch or overlap and have the same rate become one.

    Raises
    ------
    LinkError
        One is empty, or two that overlap have different rates.
    """

    def __init__(self, windows: Iterable[Window]) -> None:
        self.windows: list[Window] = []
        for window in sorted(windows, key=lambda w: w.start_ns):
            if window.end_ns <= window.start_ns:
                raise LinkError(f"a contact ends at {window.end_ns / S:g} s, before it begins")
            self._append(window)
        self._starts = [window.start_ns for window in self.windows]

    def at(self, now_ns: int) -> Window | None:
        """See `Contacts`."""
        found = bisect_right(self._starts, now_ns) - 1
        if found < 0 or now_ns >= self.windows[found].end_ns:
            found += 1
        return self.windows[found] if found < len(self.windows) else None

    def _append(self, window: Window) -> None:
        last = self.windows[-1] if self.windows else None
        if last is None or window.start_ns > last.end_ns:
            self.windows.append(window)
        elif window.rate_bps == last.rate_bps:
            end_ns = max(last.end_ns, window.end_ns)
            self.windows[-1] = Window(last.start_ns, end_ns, last.rate_bps)
        elif window.start_ns == last.end_ns:
            self.windows.append(window)
        else:
            raise LinkError(f"contacts of different rates overlap at {window.start_ns / S:g} s")


def read_table(path: Path) -> Table:
    """Read contacts from a CSV file.

    Raises
    ------
    LinkError
        It is missing, has other columns, or contacts that cannot be.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        windows = [_window(row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise LinkError(f"{path}: {fault}; {_REMEDY}") from fault
    except (ArithmeticError, KeyError, TypeError, ValueError) as fault:
        raise LinkError(f"{path}: {fault} is no contact; {_REMEDY}") from fault
    if not windows:
        raise LinkError(f"{path}: no contacts; {_REMEDY}")
    return Table(windows)


def _window(row: dict[str, str]) -> Window:
    start_ns, end_ns = (round(float(row[name]) * S) for name in ("start_s", "end_s"))
    rate = row.get("rate_bps")
    return Window(start_ns, end_ns, float(rate) if rate else None)


def within(contacts: Contacts, end_ns: int) -> list[Window]:
    """List the windows that begin before ``end_ns``, the last one cut off there."""
    found = []
    now_ns = 0
    while now_ns < end_ns and (window := contacts.at(now_ns)) and window.start_ns < end_ns:
        stop_ns = min(window.end_ns, end_ns)
        found.append(Window(window.start_ns, stop_ns, window.rate_bps))
        now_ns = window.end_ns
    return found
