"""A simulation is repeatable, accounts for every frame, and keeps to its link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tactic_link.outcome import Outcome
from tactic_link.preset import Preset, open_preset
from tactic_link.scenario import Scenario, contacts_of
from tactic_link.simulator import simulate
from tactic_link.traces import Setting
from tactic_link.windows import Always, Cycle, S, Table, Window

Link = Callable[..., Preset]
Fig = Callable[[float, str], dict[str, Any]]
BEARERS = ("ip", "datagram")
MINUTE_NS = 60 * S


def one_hour(preset: Preset, **changes: Any) -> Scenario:
    scenario = Scenario(preset, Always(), 3600.0, nodes=2, fps=0.05)
    return replace(scenario, **changes)


def accounted(outcome: Outcome) -> None:
    """Every frame is stored, given up or waits; what waits may be stored and not acknowledged."""
    given_up = outcome.dropped.total()
    assert outcome.captured - outcome.waiting - given_up <= outcome.frames <= outcome.captured
    assert outcome.by_photo[0].sum() == outcome.frames == outcome.delays.counts.sum()
    assert outcome.by_photo[1].sum() == pytest.approx(outcome.correct)
    assert sum(contact.frames for contact in outcome.contacts) == outcome.frames


@pytest.mark.parametrize("bearer", BEARERS)
def test_the_same_seed_gives_the_same_day_and_another_one_another(
    a_link: Link, a_figure: Fig, setting: Setting, bearer: str
) -> None:
    scenario = one_hour(a_link(bearer, up__loss=a_figure(10, "%")))
    one, same, other = (simulate(scenario, setting, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.steps, same.steps)
    assert np.array_equal(one.delays.counts, same.delays.counts)
    assert one.bytes_up == same.bytes_up
    assert not np.array_equal(one.delays.counts, other.delays.counts)


@pytest.mark.parametrize("bearer", BEARERS)
@pytest.mark.parametrize("loss", [0, 5, 40])
def test_every_frame_is_accounted_for(
    a_link: Link, a_figure: Fig, setting: Setting, bearer: str, loss: int
) -> None:
    lossy = a_figure(loss, "%")
    preset = a_link(bearer, up__loss=lossy, down__loss=lossy)
    outcome = simulate(one_hour(preset), setting, 3)
    accounted(outcome)
    assert outcome.captured == 360
    # Where the link loses much, the sender holds back, as if it were crowded.
    assert outcome.frames >= (355 if loss < 40 else 70)


@pytest.mark.parametrize("bearer", BEARERS)
def test_an_idle_link_delivers_at_once(a_link: Link, setting: Setting, bearer: str) -> None:
    outcome = simulate(one_hour(a_link(bearer), nodes=1, fps=0.05), setting, 1)
    median_s = outcome.delays.percentile(0.5)
    assert median_s
    on_air_s = 8 * (500 + 3 * 16) / 9600
    assert on_air_s + 0.04 < median_s < 1.3 * on_air_s + 0.1
    assert outcome.sent_again == 0


@pytest.mark.parametrize("bearer", BEARERS)
def test_nothing_is_sent_while_there_is_no_contact(
    a_link: Link, setting: Setting, bearer: str
) -> None:
    contacts = Cycle(5 * MINUTE_NS, 15 * MINUTE_NS)
    outcome = simulate(one_hour(a_link(bearer), contacts=contacts, fps=0.05), setting, 1)
    accounted(outcome)
    seconds, frames, _, _ = outcome.steps
    inside = seconds % 1200 < 330
    grown = np.diff(frames, prepend=0) > 0
    assert grown.any()
    assert not (grown & ~inside).any()
    assert len(outcome.contacts) == 3


def test_the_backlog_of_an_outage_comes_with_the_next_contact(
    a_link: Link, setting: Setting
) -> None:
    contacts = Table([Window(40 * MINUTE_NS, 60 * MINUTE_NS)])
    outcome = simulate(one_hour(a_link(), contacts=contacts, fps=0.1), setting, 1)
    assert outcome.frames >= 0.9 * outcome.captured
    latest_s = outcome.delays.percentile(0.99)
    assert latest_s
    assert latest_s > 35 * 60


@pytest.mark.parametrize("name", ["lorawan-dr3", "lorawan-dr5"])
def test_a_node_keeps_to_its_duty_cycle(name: str, setting: Setting) -> None:
    scenario = Scenario(open_preset(name), Always(), 2 * 3600.0, fps=0.2, outbox_bytes=1 << 20)
    outcome = simulate(scenario, setting, 1)
    accounted(outcome)
    watts = scenario.preset.transmit.base
    airtime_s = outcome.energy_j / watts
    assert 0.8 * 2 * 36 < airtime_s <= 2 * 36


def test_a_full_outbox_gives_up_the_oldest_frames(a_link: Link, setting: Setting) -> None:
    scenario = one_hour(a_link(up__rate={"value": 100, "unit": "bit/s", "source": "assumption"}))
    outcome = simulate(replace(scenario, outbox_bytes=20_000), setting, 1)
    accounted(outcome)
    assert outcome.dropped["full"] > 50
    assert outcome.waiting <= 2 * 20_000 / 500
    assert outcome.captured == 360


def test_nodes_share_a_satellite_and_not_a_modem(a_link: Link, setting: Setting) -> None:
    busy = {"nodes": 8, "fps": 1.0, "seconds": 60.0}
    shared = simulate(one_hour(a_link(shared=True), **busy), setting, 1)
    alone = simulate(one_hour(a_link(), **busy), setting, 1)
    accounted(shared)
    accounted(alone)
    assert shared.bytes_up <= 9600 / 8 * 60 + 210
    assert alone.frames > 3 * shared.frames


def test_smaller_packets_bring_more_frames_over_a_thin_link(a_link: Link, setting: Setting) -> None:
    scenario = one_hour(a_link(shared=True), nodes=5, fps=1.0, seconds=60.0)
    half = replace(setting, packet_bytes=setting.packet_bytes // 2)
    assert simulate(scenario, half, 1).frames > 1.6 * simulate(scenario, setting, 1).frames


def test_a_day_of_the_shipped_orbit(setting: Setting) -> None:
    preset = open_preset("leo-uhf")
    contacts, _ = contacts_of(preset, 86400.0)
    scenario = Scenario(preset, contacts, 86400.0, fps=0.02, outbox_bytes=1 << 20)
    outcome = simulate(scenario, setting, 1)
    accounted(outcome)
    assert outcome.captured == 1728
    # The last pass ends at 13:19: what comes later waits, or arrives as the beginning of a frame.
    assert 0.5 < outcome.frames / outcome.captured < 0.6
    assert len(outcome.contacts) == 4
    assert outcome.cost_usd == 0.0


@pytest.mark.parametrize("size", [22, 60, 200, 700])
def test_packets_of_any_size_fill_a_pass_and_few_are_sent_twice(
    setting: Setting, size: int
) -> None:
    preset = open_preset("leo-uhf")
    contacts = Table([Window(30 * MINUTE_NS, 40 * MINUTE_NS)])
    scenario = Scenario(preset, contacts, 40 * 60.0, fps=15.0)
    sizes = np.linspace(max(22, size / 3), 5 * size / 3, 50).astype(int)
    setting = replace(setting, packet_bytes=sizes, beginnings=())
    outcome = simulate(scenario, setting, 1)
    accounted(outcome)
    lost = 0.01 * -(-size // 256)
    assert outcome.bytes_up > 0.93 * 600 * 9600 / 8
    assert outcome.sent_again < (lost + 0.04) * outcome.frames
