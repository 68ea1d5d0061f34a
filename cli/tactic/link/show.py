"""``tactic link presets`` and ``tactic link passes``."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from tactic.link.options import Orbit
from tactic_link import preset as presets
from tactic_link import tables
from tactic_link.errors import LinkError
from tactic_link.preset import Orbit as OrbitSection
from tactic_link.preset import Preset, open_preset
from tactic_link.scenario import DAY_S, Orbiting, find_passes, read_start


def run_presets(name: str | None, as_json: bool) -> None:
    """Print all presets, or all figures of one.

    Raises
    ------
    TacticError
        There is no such preset.
    """
    console = Console(highlight=False)
    if name is None:
        found = {each: open_preset(each) for each in presets.names()}
        if as_json:
            print(json.dumps([tables.preset_figures(*pair) for pair in found.items()]))
        else:
            tables.show_presets(found, console)
        return
    preset = open_preset(name)
    if as_json:
        print(json.dumps(tables.preset_figures(name, preset) | {"sources": _sources(preset)}))
    else:
        tables.show_preset(preset, console)


def run_passes(name: str, days: float, orbit: Orbit, as_json: bool) -> None:
    """Print the passes of a preset's satellite, or of another one.

    Raises
    ------
    TacticError
        Preset, elements or stations are missing or unfit.
    """
    preset = orbit.of(open_preset(name))
    contact = preset.contact
    if not isinstance(contact, OrbitSection):
        raise LinkError(f"{name}: its contacts are no passes; choose leo-uhf or another orbit")
    found = find_passes(contact, days * DAY_S, read_start(orbit.start))
    if as_json:
        print(json.dumps(_passes(found)))
    else:
        tables.show_passes(found, contact.mask.base, Console(highlight=False))


def _sources(preset: Preset) -> list[dict[str, Any]]:
    return [
        {"figure": place, "value": figure.value, "unit": figure.unit, "source": figure.source}
        for place, figure in tables.figures(preset)
    ]


def _passes(found: Orbiting) -> dict[str, Any]:
    return {
        "satellite": found.satellite,
        "start": found.start.isoformat(),
        "elements_age_days": found.age_days,
        "passes": [
            {
                "station": each.station,
                "rise": each.rise.isoformat(),
                "culmination": each.culmination.isoformat(),
                "set": each.set.isoformat(),
                "seconds": each.seconds,
                "highest_deg": each.highest_deg,
            }
            for each in found.passes
        ],
    }
