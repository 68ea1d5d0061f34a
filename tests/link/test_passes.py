"""Passes from orbital elements: above the mask, and only then."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("skyfield", reason="Skyfield computes passes: pip install '.[link]'")

from skyfield.api import EarthSatellite, load, wgs84

from tactic_link.errors import LinkError
from tactic_link.passes import Satellite, midnight, windows
from tactic_link.preset import FOLDER, Orbit, Station, open_preset
from tactic_link.scenario import contacts_of, read_start, read_station, with_orbit

ELEMENTS = FOLDER / "elements/funcube-1.tle"
KYIV = Station(name="Kyiv", latitude_deg=50.45, longitude_deg=30.46, altitude_m=160)
SVALBARD = Station(name="Svalbard", latitude_deg=78.23, longitude_deg=15.4)
START = datetime(2026, 5, 20, tzinfo=UTC)
OMM = {
    "OBJECT_NAME": "FUNCUBE-1",
    "OBJECT_ID": "2013-066AE",
    "EPOCH": "2026-05-20T16:12:59.664384",
    "MEAN_MOTION": 15.09093359,
    "ECCENTRICITY": 0.0034836,
    "INCLINATION": 97.8265,
    "RA_OF_ASC_NODE": 111.5579,
    "ARG_OF_PERICENTER": 298.9376,
    "MEAN_ANOMALY": 60.8360,
    "EPHEMERIS_TYPE": 0,
    "CLASSIFICATION_TYPE": "U",
    "NORAD_CAT_ID": 39444,
    "ELEMENT_SET_NO": 999,
    "REV_AT_EPOCH": 67551,
    "BSTAR": 0.00033102,
    "MEAN_MOTION_DOT": 5.251e-05,
    "MEAN_MOTION_DDOT": 0,
}


def elevations_deg(moments: list[datetime]) -> list[float]:
    lines = ELEMENTS.read_text().splitlines()
    scale = load.timescale(builtin=True)
    body = EarthSatellite(lines[1], lines[2], ts=scale)
    place = wgs84.latlon(KYIV.latitude_deg, KYIV.longitude_deg, KYIV.altitude_m)
    return list((body - place).at(scale.from_datetimes(moments)).altaz()[0].degrees)


def test_the_satellite_stands_above_the_mask_in_passes_only() -> None:
    found = Satellite(ELEMENTS).passes([KYIV], 10.0, START, 86400.0)
    assert 3 <= len(found) <= 8
    minutes = [START + timedelta(minutes=minute) for minute in range(1440)]
    for moment, elevation_deg in zip(minutes, elevations_deg(minutes), strict=True):
        inside = any(each.rise < moment < each.set for each in found)
        assert inside == (elevation_deg > 10.0)
    for each in found:
        low, high, last = elevations_deg([each.rise, each.culmination, each.set])
        assert (low, last) == pytest.approx((10.0, 10.0), abs=0.05)
        assert high == pytest.approx(each.highest_deg, abs=0.01)
        assert 10.0 < each.highest_deg <= 90.0
        assert 60.0 < each.seconds < 900.0


def test_a_higher_mask_shortens_and_more_stations_lengthen() -> None:
    satellite = Satellite(ELEMENTS)
    low, high = (
        sum(p.seconds for p in satellite.passes([KYIV], mask, START, 86400.0)) for mask in (5, 20)
    )
    both = satellite.passes([KYIV, SVALBARD], 5.0, START, 86400.0)
    assert high < low < sum(each.seconds for each in both)
    table = windows(both, START)
    assert sum(w.seconds for w in table.windows) <= sum(each.seconds for each in both)


def test_a_pass_that_has_begun_or_does_not_end_is_cut_off() -> None:
    satellite = Satellite(ELEMENTS)
    whole = satellite.passes([KYIV], 10.0, START, 86400.0)[0]
    middle = whole.rise + timedelta(seconds=30)
    part = satellite.passes([KYIV], 10.0, middle, 60.0)
    assert [(each.rise, each.set) for each in part] == [(middle, middle + timedelta(seconds=60))]


def test_elements_as_omm_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "elements.json"
    path.write_text(json.dumps([OMM]))
    from_omm = Satellite(path).passes([KYIV], 10.0, START, 86400.0)
    from_lines = Satellite(ELEMENTS).passes([KYIV], 10.0, START, 86400.0)
    assert len(from_omm) == len(from_lines)
    for one, other in zip(from_omm, from_lines, strict=True):
        assert abs((one.rise - other.rise).total_seconds()) < 1.0


def test_the_example_has_its_name_and_epoch() -> None:
    satellite = Satellite(ELEMENTS)
    assert satellite.name == "FUNCUBE-1 (AO-73)"
    assert midnight(satellite.epoch) == START


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no elements at all\n",
        '{"OBJECT_NAME": "x"}',
        "[1]",
        "{",
        ELEMENTS.read_text().replace("97.8265", "97.8266"),
        ELEMENTS.read_text().replace("9992", "999"),
    ],
)
def test_bad_elements_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "elements.tle"
    path.write_text(text)
    with pytest.raises(LinkError) as fault:
        Satellite(path)
    assert "\n" not in str(fault.value)
    assert "elements.tle" in str(fault.value)


def test_a_satellite_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "two.tle"
    lines = ELEMENTS.read_text().splitlines()
    path.write_text("\n".join(["0 FIRST", *lines[1:], "SECOND", *lines[1:]]))
    assert Satellite(path).name == "FIRST"
    assert Satellite(path, "SECOND").name == "SECOND"
    with pytest.raises(LinkError, match="FIRST, SECOND"):
        Satellite(path, "THIRD")


def test_old_elements_are_said_to_be_old() -> None:
    preset = open_preset("leo-uhf")
    fresh = contacts_of(preset, 86400.0)[1]
    old = contacts_of(preset, 86400.0, read_start("2026-08-01"))[1]
    assert fresh
    assert old
    assert not fresh.is_stale
    assert old.is_stale


def test_another_orbit_replaces_the_presets() -> None:
    changed = with_orbit(open_preset("leo-uhf"), stations=(SVALBARD,), mask_deg=5.0).contact
    assert isinstance(changed, Orbit)
    assert changed.stations == (SVALBARD,)
    assert changed.mask.base == 5.0
    assert changed.elements.name == "funcube-1.tle"
    with pytest.raises(LinkError, match="no passes"):
        with_orbit(open_preset("geo"), mask_deg=5.0)


def test_stations_and_dates_as_text() -> None:
    assert read_station("Kyiv:50.45:30.46:160") == KYIV
    assert read_start("2026-05-20") == START
    for text in ("Kyiv", "Kyiv:1", "Kyiv:91:0", ":1:2", "Kyiv:a:b", "Kyiv:1:2:3:4"):
        with pytest.raises(LinkError, match="NAME:LATITUDE:LONGITUDE"):
            read_station(text)
    with pytest.raises(LinkError, match="2026-05-20"):
        read_start("tomorrow")
