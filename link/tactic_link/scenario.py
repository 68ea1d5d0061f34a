"""What is simulated: a link, its contacts, nodes with cameras, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tactic_link import windows
from tactic_link.errors import LinkError
from tactic_link.passes import FRESH_DAYS, Pass, Satellite, midnight
from tactic_link.passes import windows as windows_of
from tactic_link.preset import Cycle, Orbit, Preset, Station, TableFile
from tactic_link.rated import Rated
from tactic_link.windows import Contacts

DAY_S = 86400.0
#: the device's own default
OUTBOX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Scenario:
    """One simulation, but for the codec and the seed.

    Attributes
    ----------
    preset : Preset
    contacts : Contacts
    seconds : float
    nodes : int
    fps : float
        Frames a second of each node.
    outbox_bytes : int
        Of each node.
    fair_use : bool
        Keep to the optional budgets as well.
    rated : Rated or None
        The nodes keep to budgets of their own; None: they send everything.
    """

    preset: Preset
    contacts: Contacts
    seconds: float = DAY_S
    nodes: int = 1
    fps: float = 1.0
    outbox_bytes: int = OUTBOX_BYTES
    fair_use: bool = False
    rated: Rated | None = None

    @property
    def contact_s(self) -> float:
        """Seconds of contact in it."""
        found = windows.within(self.contacts, round(self.seconds * windows.S))
        return sum(window.seconds for window in found)


@dataclass(frozen=True, slots=True)
class Orbiting:
    """Passes over the stations of a preset.

    Attributes
    ----------
    satellite : str
    start : datetime
        Time 0 of the simulation, UTC.
    passes : tuple of Pass
    age_days : float
        Between the elements' epoch and that end of the period that is further away.
    """

    satellite: str
    start: datetime
    passes: tuple[Pass, ...]
    age_days: float

    @property
    def is_stale(self) -> bool:
        """Whether the elements are too old for the times to be trusted."""
        return self.age_days > FRESH_DAYS


def contacts_of(
    preset: Preset, seconds: float, start: datetime | None = None
) -> tuple[Contacts, Orbiting | None]:
    """Find when a preset's link can be used.

    Parameters
    ----------
    preset : Preset
    seconds : float
    start : datetime or None
        Time 0 of a link to a satellite; the day of the elements' epoch unless given.

    Raises
    ------
    LinkError
        Elements or table are missing or unfit, or there is no contact at all.
    """
    contact = preset.contact
    if isinstance(contact, Orbit):
        orbiting = find_passes(contact, seconds, start)
        return windows_of(orbiting.passes, orbiting.start), orbiting
    if isinstance(contact, TableFile):
        return windows.read_table(contact.path), None
    if isinstance(contact, Cycle):
        return windows.Cycle(contact.on.ns, contact.off.ns), None
    return windows.Always(), None


def find_passes(orbit: Orbit, seconds: float, start: datetime | None) -> Orbiting:
    """Find the passes over the stations of an orbit.

    Raises
    ------
    LinkError
        The elements are missing or unfit.
    """
    satellite = Satellite(orbit.elements, orbit.satellite)
    begin = start or midnight(satellite.epoch)
    found = satellite.passes(orbit.stations, orbit.mask.base, begin, seconds)
    age_s = abs((begin - satellite.epoch).total_seconds()) + seconds
    return Orbiting(satellite.name, begin, tuple(found), age_s / DAY_S)


def with_orbit(
    preset: Preset,
    elements: Path | None = None,
    satellite: str | None = None,
    stations: tuple[Station, ...] = (),
    mask_deg: float | None = None,
) -> Preset:
    """The preset with another satellite, other stations or another mask.

    Raises
    ------
    LinkError
        Its contacts are no passes of a satellite.
    """
    if not (elements or satellite or stations or mask_deg is not None):
        return preset
    contact = preset.contact
    if not isinstance(contact, Orbit):
        raise LinkError(f"{preset.title}: its contacts are no passes; leave out elements and mask")
    changed: dict[str, object] = {"satellite": satellite if elements else contact.satellite}
    if satellite:
        changed["satellite"] = satellite
    if elements:
        changed["elements"] = elements
    if stations:
        changed["stations"] = stations
    if mask_deg is not None:
        changed["mask"] = contact.mask.model_copy(
            update={"value": mask_deg, "unit": "deg", "source": "assumption: as asked for"}
        )
    return preset.model_copy(update={"contact": contact.model_copy(update=changed)})


def read_station(text: str) -> Station:
    """Read ``NAME:LATITUDE:LONGITUDE`` or ``NAME:LATITUDE:LONGITUDE:ALTITUDE``.

    Raises
    ------
    LinkError
        The text is none of these.
    """
    name, *numbers = text.split(":")
    fields = ("latitude_deg", "longitude_deg", "altitude_m")
    try:
        places = dict(zip(fields, map(float, numbers), strict=False))
        if not name or len(numbers) not in (2, 3):
            raise ValueError(text)
        return Station(name=name, **places)
    except ValueError as fault:
        raise LinkError(
            f"station {text!r}: give NAME:LATITUDE:LONGITUDE[:ALTITUDE], degrees and metres"
        ) from fault


def read_start(text: str | None) -> datetime | None:
    """Read a date, or a moment, of UTC unless it names another zone.

    Raises
    ------
    LinkError
        The text is neither.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise LinkError(f"start {text!r}: give a date such as 2026-05-20") from fault
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
