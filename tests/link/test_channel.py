"""The channel: its times, its losses, its budgets, its bill."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_link.capacity import volume_bytes
from tactic_link.channel import Channel, Transit, on_air_bytes
from tactic_link.loss import Loss
from tactic_link.preset import Preset, Way, open_preset
from tactic_link.tariff import cost_usd, energy_j
from tactic_link.windows import Always, Contacts, Cycle, S, Table, Window

HOUR_NS = 3600 * S

Link = Callable[..., Preset]
Fig = Callable[[float, str], dict[str, Any]]


def make(preset: Preset, contacts: Contacts | None = None, seed: int = 1) -> Channel:
    return Channel(preset, contacts or Always(), Random(seed))


def fill(channel: Channel, until_ns: int, size_bytes: int) -> list[tuple[int, Transit]]:
    """Send as much as may be sent."""
    sent: list[tuple[int, Transit]] = []
    now_ns = 0
    while True:
        ready_ns = channel.ready_ns(Way.UP, size_bytes, now_ns)
        if ready_ns is None or ready_ns >= until_ns:
            return sent
        transit = channel.transmit(Way.UP, size_bytes, ready_ns)
        sent.append((ready_ns, transit))
        now_ns = transit.end_ns


@pytest.mark.parametrize("name", [f"lorawan-dr{rate}" for rate in range(6)])
def test_lorawans_duty_cycle_holds_in_every_sliding_hour(name: str) -> None:
    preset = open_preset(name)
    size_bytes = int(preset.up.mtu.base)
    sent = fill(make(preset), 3 * HOUR_NS, size_bytes)
    starts = np.array([start for start, _ in sent])
    ends = np.array([transit.end_ns for _, transit in sent])
    edges = np.concatenate([starts, ends])
    for begin in np.concatenate([edges, edges - HOUR_NS]):
        on_air = np.minimum(ends, begin + HOUR_NS) - np.maximum(starts, begin)
        assert np.maximum(on_air, 0).sum() <= 36 * S
    assert size_bytes * len(sent) == pytest.approx(volume_bytes(preset, 3 * 3600), rel=0.1)


@pytest.mark.parametrize("name", ["leo-uhf", "iridium-sbd", "iridium-imt", "iridium-certus-100"])
def test_a_full_channel_carries_the_volume_of_its_preset(name: str) -> None:
    preset = open_preset(name)
    size_bytes = min(1400, int(preset.up.mtu.base)) if preset.bearer == "ip" else None
    size_bytes = size_bytes or int(preset.up.mtu.base)
    channel = make(preset.model_copy(update={"up": preset.up.model_copy(update={"loss": None})}))
    overhead = 1.0 if preset.bearer == "ip" else on_air_bytes(preset.up, size_bytes) / size_bytes
    expected_bytes = volume_bytes(preset, 3600) * overhead
    fill(channel, HOUR_NS, size_bytes)
    assert channel.meter.bytes[Way.UP] == pytest.approx(expected_bytes, rel=0.02)


def test_a_message_waits_for_a_contact_that_is_long_enough(a_link: Link) -> None:
    contacts = Table([Window(0, S // 10), Window(5 * S, 6 * S)])
    channel = make(a_link(), contacts)
    assert channel.air_ns(Way.UP, 200) == 175_000_000
    assert channel.ready_ns(Way.UP, 200, 0) == 5 * S
    assert channel.ready_ns(Way.UP, 200, 6 * S) is None
    assert channel.ready_ns(Way.UP, 200_000, 0) is None
    assert make(a_link(), Cycle(S // 10, S)).ready_ns(Way.UP, 200, 0) is None


def test_a_contact_may_have_a_rate_of_its_own(a_link: Link) -> None:
    channel = make(a_link(), Table([Window(0, S), Window(S, 2 * S, rate_bps=19_200.0)]))
    assert channel.air_ns(Way.UP, 200, S) == channel.air_ns(Way.UP, 200, 0) / 2
    assert channel.air_ns(Way.DOWN, 200, S) == channel.air_ns(Way.DOWN, 200, 0)


def test_one_message_after_the_other_arrives_after_its_delay(a_link: Link) -> None:
    channel = make(a_link())
    assert channel.transmit(Way.UP, 200, 0) == Transit(175_000_000, 225_000_000)
    assert channel.ready_ns(Way.UP, 50, 0) == 175_000_000
    assert channel.ready_ns(Way.DOWN, 50, 0) == 0


def test_half_duplex_takes_turns(a_link: Link, a_figure: Fig) -> None:
    preset = a_link(half_duplex=True, turnaround=a_figure(100, "ms"))
    channel = make(preset)
    channel.transmit(Way.UP, 200, 0)
    assert channel.ready_ns(Way.UP, 50, 0) == 175_000_000
    assert channel.ready_ns(Way.DOWN, 50, 0) == 275_000_000
    channel.hold(S)
    assert channel.ready_ns(Way.UP, 50, 0) == S


def test_jitter_stays_in_its_range(a_link: Link, a_figure: Fig) -> None:
    channel = make(a_link(up__jitter=a_figure(40, "ms")))
    late_ns = [(t.arrive_ns or 0) - t.end_ns for _, t in fill(channel, 60 * S, 20)]
    assert min(late_ns) >= 10_000_000
    assert max(late_ns) <= 90_000_000
    assert max(late_ns) - min(late_ns) > 60_000_000


def test_over_ip_nothing_is_lost_but_it_stalls_and_costs(a_link: Link, a_figure: Fig) -> None:
    preset = a_link("ip", up__loss=a_figure(20, "%"))
    channel = make(preset)
    sent = fill(channel, 600 * S, 100)
    late_ns = [(t.arrive_ns or 0) - t.end_ns for _, t in sent]
    stalled = [each for each in late_ns if each > 50_000_000]
    assert all(t.arrive_ns for _, t in sent)
    assert len(stalled) / len(sent) == pytest.approx(0.2, abs=0.02)
    assert set(stalled[:5]) <= {250_000_000, 650_000_000, 1_450_000_000, 3_050_000_000}
    assert channel.meter.bytes[Way.UP] == pytest.approx(1.25 * 110 * len(sent), rel=0.02)


@given(st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_losses(a_link: Link, a_figure: Fig, seed: int) -> None:
    preset = a_link(up__loss=a_figure(30, "%"))
    one, other = (fill(make(preset, seed=seed), 5 * S, 100) for _ in range(2))
    assert one == other


def test_losses_are_as_frequent_as_the_preset_says(a_link: Link, a_figure: Fig) -> None:
    burst = {"good": a_figure(9, "s"), "bad": a_figure(1, "s"), "loss": a_figure(50, "%")}
    direction = a_link(up__loss=a_figure(1, "%"), up__burst=burst).up
    share = 0.9 * 0.01 + 0.1 * (1.0 - 0.99 * 0.5)
    loss = Loss(direction, Random(3))
    lost = [loss.lost(n * S // 10) for n in range(200_000)]
    assert sum(lost) / len(lost) == pytest.approx(share, rel=0.05)
    # In bursts: what follows a loss is lost far more often than what does not.
    after = [following for former, following in pairwise(lost) if former]
    assert sum(after) / len(after) > 5 * share


def test_the_bill_and_the_battery(a_link: Link, a_figure: Fig) -> None:
    price = {
        "message": a_figure(0.01, "USD"),
        "megabyte": a_figure(2, "USD"),
        "credit": a_figure(0.1, "USD"),
        "credit_size": a_figure(50, "byte"),
        "session": a_figure(3, "USD"),
        "month": a_figure(30.4375, "USD"),
    }
    preset = a_link(price=price)
    channel = make(preset, Table([Window(0, S), Window(2 * S, 3 * S)]))
    for start_ns, size_bytes in ((0, 120), (S // 2, 0), (2 * S, 100)):
        channel.transmit(Way.UP, size_bytes, start_ns)
    meter = channel.meter
    assert (meter.messages, meter.credits, meter.sessions) == (3, 3 + 1 + 2, 2)
    assert meter.bytes[Way.UP] == 250
    expected = 3 * 0.01 + 250e-6 * 2 + 6 * 0.1 + 2 * 3 + 1
    assert cost_usd(preset, meter, 86400.0) == pytest.approx(expected)
    assert energy_j(preset, meter) == pytest.approx(2 * 250 * 8 / 9600)
