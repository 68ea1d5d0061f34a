"""Presets: every figure has a unit and a source, and the volumes are those that are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tactic_codec.errors import ConfigError
from tactic_link.capacity import frame_airtime_s, volume_bytes
from tactic_link.channel import air_ns, on_air_bytes
from tactic_link.errors import LinkError
from tactic_link.preset import FOLDER, names, open_preset
from tactic_link.tables import figures

DAY_S, PASS_S = 86400.0, 480.0
WANTED = {
    "leo-uhf",
    "leo-s-band",
    "leo-x-band",
    "iridium-sbd",
    "iridium-imt",
    "iridium-certus-100",
    "iridium-certus-700",
    "bgan",
    "geo",
    "starlink",
    *(f"lorawan-dr{rate}" for rate in range(6)),
    "nb-iot-nb1",
    "nb-iot-nb2",
    "lte-m",
    "on-off-5min",
}


def test_every_link_has_a_preset() -> None:
    assert set(names()) == WANTED


@pytest.mark.parametrize("name", sorted(WANTED))
def test_every_figure_has_a_unit_and_a_source(name: str) -> None:
    found = dict(figures(open_preset(name)))
    assert {"up.mtu", "up.overhead", "up.delay", "down.mtu", "transmit"} <= set(found)
    for figure in found.values():
        assert figure.unit
        words = figure.source.split()
        assert words[0].rstrip(":") == "assumption" or len(words) > 1


# Rates and volumes as published for each link; see docs/satellite.md.
@pytest.mark.parametrize(
    ("name", "milliseconds", "kilobytes", "fair_kilobytes"),
    [
        ("lorawan-dr0", 2793, 15.8, 0.55),
        ("lorawan-dr1", 1561, 28.2, 0.98),
        ("lorawan-dr2", 698, 63.1, 2.19),
        ("lorawan-dr3", 677, 147, 5.10),
        ("lorawan-dr4", 656, 292, 10.2),
        ("lorawan-dr5", 369, 520, 18.0),
    ],
)
def test_lorawan_carries_what_its_time_on_air_allows(
    name: str, milliseconds: float, kilobytes: float, fair_kilobytes: float
) -> None:
    preset = open_preset(name)
    on_air_ms = air_ns(preset.up, int(preset.up.mtu.base)) / 1e6
    assert on_air_ms == pytest.approx(milliseconds, abs=0.5)
    assert volume_bytes(preset, DAY_S) / 1e3 == pytest.approx(kilobytes, rel=0.01)
    assert volume_bytes(preset, DAY_S, fair_use=True) / 1e3 == pytest.approx(
        fair_kilobytes, rel=0.01
    )


@pytest.mark.parametrize(
    ("name", "megabytes"), [("leo-uhf", 0.576), ("leo-s-band", 258), ("leo-x-band", 9000)]
)
def test_a_pass_of_eight_minutes(name: str, megabytes: float) -> None:
    preset = open_preset(name)
    size_bytes = int(preset.up.mtu.base)
    overhead = on_air_bytes(preset.up, size_bytes) / size_bytes
    assert overhead > 1.0
    assert volume_bytes(preset, PASS_S) * overhead / 1e6 == pytest.approx(megabytes, rel=0.01)


def test_a_message_of_100_kb_takes_about_two_minutes_over_imt() -> None:
    assert frame_airtime_s(open_preset("iridium-imt"), 100_000) == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize(
    ("name", "up_bps", "down_bps"),
    [
        ("nb-iot-nb1", 62e3, 26e3),
        ("nb-iot-nb2", 159e3, 127e3),
        ("lte-m", 1e6, 1e6),
        ("iridium-imt", 6.7e3, 6.7e3),
        ("iridium-certus-100", 22e3, 88e3),
        ("iridium-certus-700", 352e3, 704e3),
        ("bgan", 400e3, 400e3),
        ("geo", 25e6, 25e6),
    ],
)
def test_rates(name: str, up_bps: float, down_bps: float) -> None:
    preset = open_preset(name)
    assert preset.up.rate
    assert preset.down.rate
    assert (preset.up.rate.base, preset.down.rate.base) == (up_bps, down_bps)
    if preset.bearer == "ip":
        assert volume_bytes(preset, DAY_S) == pytest.approx(up_bps / 8 * DAY_S)


def test_a_preset_of_ones_own(tmp_path: Path) -> None:
    text = (FOLDER / "geo.toml").read_text().replace("value = 25, unit", "value = 2, unit")
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    preset = open_preset(str(mine))
    assert preset.up.rate
    assert preset.up.rate.base == 2e6


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ('unit = "Mbit/s"', 'unit = "MB"', ("mine.toml:9:", "up.rate", "kbit/s")),
        ("value = 300", "value = -1", ("mine.toml:12:", "out of range")),
        (', source = "assumption"', "", ("mine.toml:6:", "source", "add it")),
        ('bearer = "ip"', 'bearer = "ip"\nhalf = 1', ("mine.toml:6:", "unknown key")),
        ("[up]", '[up]\nlora = "x"', ("mine.toml", "up.lora")),
    ],
)
def test_a_mistake_is_one_line_with_its_place(
    tmp_path: Path, was: str, becomes: str, words: tuple[str, ...]
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text((FOLDER / "geo.toml").read_text().replace(was, becomes, 1))
    with pytest.raises(ConfigError) as fault:
        open_preset(str(mine))
    message = str(fault.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(LinkError, match="leo-uhf"):
        open_preset("leo")
