"""Presets and passes as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from rich.console import Console

from tactic_link.capacity import contact_share, frame_airtime_s, round_trip_s, volume_bytes
from tactic_link.figure import Figure
from tactic_link.passes import FRESH_DAYS
from tactic_link.preset import Preset
from tactic_link.scenario import DAY_S, Orbiting
from tactic_link.words import duration, scaled, table

_FRAME_BYTES = 1400
_PASS_S = 480.0
Json = dict[str, Any]


def show_presets(presets: dict[str, Preset], console: Console) -> None:
    """Print one row for each preset."""
    rows = table(
        "carries: IP, or datagrams of so many bytes; volume: of a day, or of a pass of 8 minutes\n"
        "tactic link presets NAME shows every figure with its source"
    )
    rows.add_column("preset", no_wrap=True)
    for name in ("rate", "carries", "round trip", "volume", "1.4 kB in"):
        rows.add_column(name, justify="right", no_wrap=True)
    for name, preset in presets.items():
        rows.add_row(name, *_row(preset))
    console.print(rows)


def preset_figures(name: str, preset: Preset) -> Json:
    """The row of a preset as plain numbers."""
    share = contact_share(preset)
    seconds = _PASS_S if share is None else share * DAY_S
    return {
        "preset": name,
        "title": preset.title,
        "bearer": preset.bearer,
        "rate_bps": preset.up.rate.base if preset.up.rate else None,
        "message_bytes": preset.up.mtu.base,
        "round_trip_s": round_trip_s(preset),
        "volume_of": "pass of 8 min" if share is None else "day",
        "volume_bytes": volume_bytes(preset, seconds),
        "fair_use_bytes": volume_bytes(preset, seconds, fair_use=True),
        "assumed": sum(figure.is_assumed for _, figure in figures(preset)),
        "figures": sum(1 for _ in figures(preset)),
    }


def show_preset(preset: Preset, console: Console) -> None:
    """Print every figure of a preset, with its unit and its source."""
    about = " ".join(preset.about.split())
    console.print(f"[bold]{preset.title}[/]\n{about}\nprice: {price(preset)}")
    rows = table("")
    rows.add_column("figure", no_wrap=True)
    rows.add_column("value", justify="right", no_wrap=True)
    rows.add_column("source")
    for name, figure in figures(preset):
        style = "dim" if figure.is_assumed else None
        rows.add_row(name, f"{figure.value:g} {figure.unit}", figure.source, style=style)
    console.print(rows)


def figures(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Figure]]:
    """Go through all figures of a preset, with their dotted names."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        parts = value if isinstance(value, tuple) else (value,)
        for number, part in enumerate(parts):
            place = f"{prefix}{name}" + (f".{number}" if isinstance(value, tuple) else "")
            if isinstance(part, Figure):
                yield place, part
            elif isinstance(part, BaseModel):
                yield from figures(part, f"{place}.")


def show_passes(orbiting: Orbiting, mask_deg: float, console: Console) -> None:
    """Print the passes of a satellite."""
    rows = table(f"{orbiting.satellite}, contact above {mask_deg:g}°; times are UTC")
    for name in ("station", "rise", "culmination", "set"):
        rows.add_column(name, no_wrap=True)
    for name in ("minutes", "highest"):
        rows.add_column(name, justify="right")
    for each in orbiting.passes:
        rows.add_row(
            each.station,
            f"{each.rise:%Y-%m-%d %H:%M:%S}",
            f"{each.culmination:%H:%M:%S}",
            f"{each.set:%H:%M:%S}",
            f"{each.seconds / 60:.1f}",
            f"{each.highest_deg:.0f}°",
        )
    console.print(rows)
    total_s = sum(each.seconds for each in orbiting.passes)
    console.print(f"{len(orbiting.passes)} passes, {total_s / 60:.1f} minutes of contact")
    for line in warnings(orbiting):
        console.print(line)


def warnings(orbiting: Orbiting) -> list[str]:
    """What to know about the elements."""
    if not orbiting.is_stale:
        return []
    return [
        f"the elements are {orbiting.age_days:.0f} days from these passes; beyond {FRESH_DAYS:.0f} "
        "days the times are guesses: give newer ones with --elements"
    ]


def price(preset: Preset) -> str:
    """The price list in a few words."""
    names = {"message": "message", "megabyte": "MB", "session": "session", "month": "month"}
    parts = []
    for field, word in names.items():
        figure = getattr(preset.price, field)
        if figure and figure.base:
            parts.append(f"{figure.base:g} USD/{word}")
    if preset.price.credit and preset.price.credit_size:
        size = preset.price.credit_size.base
        parts.append(f"{preset.price.credit.base:g} USD/{size:g} B")
    return ", ".join(parts) or ("none" if preset.price.model_fields_set else "unknown")


def _row(preset: Preset) -> tuple[str, ...]:
    row = preset_figures("", preset)
    per = "" if row["volume_of"] == "day" else "/pass"
    rate = row["rate_bps"]
    spreading = preset.up.lora.spreading_factor.value if preset.up.lora else 0
    return (
        scaled(rate, "bit/s") if rate else f"SF{spreading:g}",
        "IP" if preset.bearer == "ip" else scaled(row["message_bytes"], "B"),
        duration(row["round_trip_s"]),
        scaled(row["volume_bytes"], "B") + per,
        duration(frame_airtime_s(preset, _FRAME_BYTES)),
    )
