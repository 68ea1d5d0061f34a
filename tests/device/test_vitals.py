"""Temperature and throttling as a Raspberry Pi, another board and a bare machine tell them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tactic_device.alarms import Alarms
from tactic_device.log import Log
from tactic_device.vitals import LOOK_NS, Vitals, Watchman, read, temperature_c

Events = Callable[[], list[dict[str, Any]]]


def put(root: Path, name: str, text: str) -> None:
    path = root / "sys" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_temperature_is_the_hottest_readable_zone(tmp_path: Path) -> None:
    assert temperature_c(tmp_path) is None
    for n, text in enumerate(("41500\n", "broken", "47250\n", "-5000\n")):
        put(tmp_path, f"class/thermal/thermal_zone{n}/temp", text)
    assert temperature_c(tmp_path) == 47.25


@pytest.mark.parametrize(
    ("text", "now", "since_boot"),
    [
        ("0\n", (), ()),
        ("50005\n", ("under_voltage", "throttled"), ("under_voltage", "throttled")),
        ("e0000\n", (), ("frequency_capped", "throttled", "soft_limit")),
    ],
)
def test_the_firmwares_word(
    tmp_path: Path, text: str, now: tuple[str, ...], since_boot: tuple[str, ...]
) -> None:
    put(tmp_path, "devices/platform/soc/soc:firmware/get_throttled", text)
    assert read(tmp_path) == Vitals(None, now, since_boot)


def test_other_boards_say_whether_they_slow_down(tmp_path: Path) -> None:
    assert read(tmp_path).throttled is None
    put(tmp_path, "class/thermal/cooling_device0/type", "thermal-cpufreq-0\n")
    put(tmp_path, "class/thermal/cooling_device0/cur_state", "0\n")
    assert read(tmp_path).throttled == ()
    put(tmp_path, "class/thermal/cooling_device0/cur_state", "3\n")
    assert read(tmp_path).throttled == ("throttled",)


def test_alarms_rise_once_and_do_not_flap(log: Log, events: Events) -> None:
    changes: list[int] = []
    alarms = Alarms(log, lambda: changes.append(1))
    told = [79.0, 81.0, 78.0, 81.0, 74.0]
    watchman = Watchman(alarms, lambda: Vitals(told.pop(0), ("under_voltage",)))
    for n in range(5):
        watchman.look(n * LOOK_NS)
        watchman.look(n * LOOK_NS + 1)
    assert [(e["event"], e["alarm"]) for e in events()] == [
        ("alarm", "under_voltage"),
        ("alarm", "hot"),
        ("alarm_ended", "hot"),
    ]
    assert alarms.names == {"under_voltage"}
    assert len(changes) == 3
    assert watchman.facts()["throttled"] == ["under_voltage"]
    assert "supply" in events()[0]["remedy"]


def test_this_machine_can_be_asked() -> None:
    Watchman(Alarms(Log(io.StringIO()), lambda: None)).look(1)
