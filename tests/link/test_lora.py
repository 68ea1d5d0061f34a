"""LoRa's time on air against what others published."""

from __future__ import annotations

import pytest

from tactic_link.lora import time_on_air_s

#: bytes with LoRaWAN's header, spreading factor, milliseconds, 125 kHz, 4/5
PUBLISHED = [
    # The Things Network's calculator, after github.com/bertrik/ttn-gateway-collector
    (32, 8, 133.6),
    (32, 9, 246.8),
    (32, 10, 452.6),
    (32, 11, 987.1),
    (32, 12, 1810.4),
    # the spreadsheet of AN1200.13's formulas that github.com/avbentem/airtime-calculator tests by
    (14, 7, 46.336),
    (16, 7, 51.456),
    (25, 7, 61.696),
    (14, 8, 82.432),
    (25, 8, 113.152),
    (14, 11, 659.456),
    (25, 11, 823.296),
    (13, 9, 164.864),
    # github.com/tanupoo/lorawan_toa
    (64, 12, 2793.472),
]


@pytest.mark.parametrize(("size", "spreading", "milliseconds"), PUBLISHED)
def test_published_values(size: int, spreading: int, milliseconds: float) -> None:
    found_ms = 1000 * time_on_air_s(size, spreading)
    assert found_ms == pytest.approx(milliseconds, abs=0.05)


@pytest.mark.parametrize(
    ("size", "bandwidth_hz", "coding_rate", "milliseconds"),
    [
        (14, 250e3, 1, 23.168),
        (25, 250e3, 1, 30.848),
        (14, 125e3, 4, 61.696),
        (25, 125e3, 4, 86.272),
    ],
)
def test_other_bandwidths_and_rates(
    size: int, bandwidth_hz: float, coding_rate: int, milliseconds: float
) -> None:
    found_s = time_on_air_s(size, 7, bandwidth_hz=bandwidth_hz, coding_rate=coding_rate)
    assert 1000 * found_s == pytest.approx(milliseconds, abs=1e-6)


@pytest.mark.parametrize(("size", "spreading"), [(256, 7), (-1, 7), (10, 13), (10, 5)])
def test_what_lora_does_not_know(size: int, spreading: int) -> None:
    with pytest.raises(ValueError, match="no LoRa frame"):
        time_on_air_s(size, spreading)
