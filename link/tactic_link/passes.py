"""Passes of a satellite over ground stations, from its orbital elements, without a network.

SGP4 and the Earth's rotation are Skyfield's; its time scales come with the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from skyfield.api import EarthSatellite, load, wgs84

from tactic_link.errors import LinkError
from tactic_link.preset import Station
from tactic_link.windows import S, Table, Window

#: SGP4 strays by kilometres a day: contact times older than this are guesses
FRESH_DAYS = 14.0
_RISE, _CULMINATE, _SET = range(3)
_REMEDY = "give two-line elements, or OMM as JSON, as CelesTrak or Space-Track serve them"


@dataclass(frozen=True, slots=True)
class Pass:
    """One satellite over one station.

    Attributes
    ----------
    station : str
    rise, set : datetime
        UTC; where the period asked for begins or ends during the pass, that moment.
    culmination : datetime
    highest_deg : float
        Elevation at culmination.
    """

    station: str
    rise: datetime
    culmination: datetime
    set: datetime
    highest_deg: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return (self.set - self.rise).total_seconds()


class Satellite:
    """A satellite with its elements.

    Parameters
    ----------
    path : Path
        Two-line elements, with or without a line of the name before, or OMM as JSON.
    name : str or None
        Which satellite of the file; the first unless given.

    Raises
    ------
    LinkError
        The file is missing, holds no elements, or not those of this satellite.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._scale = load.timescale(builtin=True)
        found = _read(path, self._scale)
        chosen = [one for one in found if name in (None, one.name)]
        if not chosen:
            names = ", ".join(str(one.name) for one in found)
            raise LinkError(f"{path}: no satellite {name!r}; it has {names}")
        self._body: Any = chosen[0]

    @property
    def name(self) -> str:
        """Its name in the file."""
        return str(self._body.name)

    @property
    def epoch(self) -> datetime:
        """When the elements hold best, UTC."""
        moment: datetime = self._body.epoch.utc_datetime()
        return moment

    def passes(
        self, stations: Sequence[Station], mask_deg: float, start: datetime, seconds: float
    ) -> list[Pass]:
        """Find the passes over all stations, in the order in which they begin.

        Parameters
        ----------
        stations : sequence of Station
        mask_deg : float
            Lowest elevation of contact, degrees above the horizon.
        start : datetime
            With a time zone.
        seconds : float
        """
        end = start + timedelta(seconds=seconds)
        found = [p for station in stations for p in self._over(station, mask_deg, start, end)]
        return sorted(found, key=lambda each: each.rise)

    def _over(
        self, station: Station, mask_deg: float, start: datetime, end: datetime
    ) -> Iterator[Pass]:
        place = wgs84.latlon(station.latitude_deg, station.longitude_deg, station.altitude_m)
        moments = self._scale.from_datetime(start), self._scale.from_datetime(end)
        times, events = self._body.find_events(place, *moments, altitude_degrees=mask_deg)
        rise = highest = start if self._elevation(place, start) > mask_deg else None
        for time, event in zip(times.utc_datetime() if len(times) else (), events, strict=True):
            if event == _RISE:
                rise = highest = time
            elif event == _CULMINATE and rise:
                highest = self._higher(place, highest, time)
            elif event == _SET and rise and highest:
                highest = self._higher(place, highest, time)
                yield Pass(station.name, rise, highest, time, self._elevation(place, highest))
                rise = None
        if rise and highest:
            highest = self._higher(place, highest, end)
            yield Pass(station.name, rise, highest, end, self._elevation(place, highest))

    def _higher(self, place: Any, one: datetime | None, other: datetime) -> datetime:
        return max((m for m in (one, other) if m), key=lambda m: self._elevation(place, m))

    def _elevation(self, place: Any, moment: datetime) -> float:
        apparent = (self._body - place).at(self._scale.from_datetime(moment))
        return float(apparent.altaz()[0].degrees)


def windows(passes: Sequence[Pass], start: datetime) -> Table:
    """Contacts of a simulation that begins at ``start``; where stations overlap, one."""
    return Table(
        Window(
            round((each.rise - start).total_seconds() * S),
            round((each.set - start).total_seconds() * S),
        )
        for each in passes
    )


def midnight(moment: datetime) -> datetime:
    """The beginning of a moment's day, UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _read(path: Path, scale: Any) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
        found = _from_omm(text, scale) if text.lstrip()[:1] in "[{" else _from_lines(text, scale)
    except (OSError, UnicodeDecodeError) as fault:
        raise LinkError(f"{path}: {fault}; {_REMEDY}") from fault
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as fault:
        raise LinkError(f"{path}: not orbital elements ({fault!r}); {_REMEDY}") from fault
    if not found:
        raise LinkError(f"{path}: no orbital elements; {_REMEDY}")
    return found


def _from_omm(text: str, scale: Any) -> list[Any]:
    given = json.loads(text)
    return [
        EarthSatellite.from_omm(scale, fields)
        for fields in (given if isinstance(given, list) else [given])
    ]


def _from_lines(text: str, scale: Any) -> list[Any]:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    found = []
    for number, (first, second) in enumerate(pairwise(lines)):
        if first.startswith("1 ") and second.startswith("2 "):
            _check(first)
            _check(second)
            named = number and not lines[number - 1].startswith(("1 ", "2 "))
            name = lines[number - 1].removeprefix("0 ").strip() if named else first[2:7].strip()
            found.append(EarthSatellite(first, second, name, scale))
    return found


def _check(line: str) -> None:
    """Raise ValueError where the check digit of an element line is wrong."""
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68])
    if len(line) != 69 or line[68:] != str(total % 10):
        raise ValueError(f"wrong check digit in {line!r}")
