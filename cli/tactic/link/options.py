"""What a command line says about link, nodes and traces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from tactic.link.budgets import rated_by
from tactic_link import tables
from tactic_link.errors import LinkError
from tactic_link.preset import Preset
from tactic_link.scenario import DAY_S, Scenario, contacts_of, read_start, read_station, with_orbit

OUT = Path("out/link")
RIVALS = ("jpeg", "webp", "avif", "jpeg2000")
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Orbit:
    """What a command line says about satellite and stations.

    Attributes
    ----------
    elements : Path or None
    satellite : str or None
    stations : tuple of str
        As :func:`tactic_link.scenario.read_station` reads them.
    mask_deg : float or None
    start : str or None
    """

    elements: Path | None = None
    satellite: str | None = None
    stations: tuple[str, ...] = ()
    mask_deg: float | None = None
    start: str | None = None

    def of(self, preset: Preset) -> Preset:
        """The preset with them.

        Raises
        ------
        LinkError
            A station is no station, or the preset's contacts are no passes.
        """
        stations = tuple(read_station(text) for text in self.stations)
        return with_orbit(preset, self.elements, self.satellite, stations, self.mask_deg)


@dataclass(frozen=True, slots=True)
class Source:
    """Where traces come from.

    Attributes
    ----------
    file : Path or None
        Read if it exists, else written.
    bundle : Path or None
    photos : str or None
    match : str
    limit : int or None
    against : str
        Names of codecs, separated by commas.
    """

    file: Path | None
    bundle: Path | None
    photos: str | None
    match: str
    limit: int | None
    against: str

    @property
    def rivals(self) -> list[str]:
        """The codecs to compare with.

        Raises
        ------
        BadParameter
            One is unknown.
        """
        names = [name for name in self.against.split(",") if name]
        if unknown := set(names) - set(RIVALS):
            raise typer.BadParameter(
                f"{min(unknown)}: choose from {', '.join(RIVALS)}", param_hint="--against"
            )
        return names


@dataclass(frozen=True, slots=True)
class World:
    """What is simulated beside the link.

    Attributes
    ----------
    days : float
    nodes : int
    fps : float
    outbox_mb : float
    fair_use : bool
    within : float
        Points of accuracy that a setting that competes may lose.
    node : Path or None
        A node's configuration, whose ``[rate]`` all nodes keep to.
    alarms : float
        Share of the frames that are alarms.
    """

    days: float
    nodes: int
    fps: float
    outbox_mb: float
    fair_use: bool
    within: float
    node: Path | None = None
    alarms: float = 0.0

    @property
    def loss(self) -> float:
        """The same as a share."""
        return self.within / 100.0

    def scenario(self, preset: Preset, start: str | None) -> tuple[Scenario, list[str]]:
        """The scenario over a link, and what to know about its elements.

        Raises
        ------
        LinkError
            There is no contact in that time.
        ConfigError
            The node's configuration cannot be used.
        """
        seconds = self.days * DAY_S
        contacts, orbiting = contacts_of(preset, seconds, read_start(start))
        outbox_bytes = round(self.outbox_mb * _MB)
        rated = rated_by(self.node, self.alarms, preset, contacts, seconds)
        scenario = Scenario(
            preset, contacts, seconds, self.nodes, self.fps, outbox_bytes, self.fair_use, rated
        )
        if not scenario.contact_s:
            raise LinkError(
                f"no contact within {self.days:g} days; check station, mask, start and elements"
            )
        return scenario, tables.warnings(orbiting) if orbiting else []
