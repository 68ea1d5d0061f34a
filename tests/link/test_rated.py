"""Nodes that keep to budgets: what is spent, what becomes of alarms, what frames become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from link.conftest import make_setting
from tactic_delivery.allowance import HOUR_NS, Budgets
from tactic_delivery.schedule import Contact, Schedule
from tactic_link.channel import Channel, Transit
from tactic_link.outcome import Outcome
from tactic_link.preset import Preset, Way, open_preset
from tactic_link.rated import Rated
from tactic_link.scenario import Scenario
from tactic_link.simulator import simulate
from tactic_link.traces import Setting
from tactic_link.windows import Always, S, Table, Window

Link = Callable[..., Preset]
DAY_S = 86_400.0


def ladder() -> list[Setting]:
    """Four levels, each two thirds of the size of the one before."""
    return [make_setting("tactic", 0.8, size, share=1.0) for size in (2880, 1920, 1280, 850)]


def accounted(outcome: Outcome) -> None:
    given_up = outcome.dropped.total()
    assert outcome.captured - outcome.waiting - given_up <= outcome.frames <= outcome.captured


def test_five_times_what_a_day_may_cost_stays_in_budget_and_loses_no_alarm(a_link: Link) -> None:
    """50 MB in the day, of 250 MB that are offered."""
    fine, *coarser = ladder()
    day_bytes = 50_000_000
    rated = Rated(Budgets(day_bytes=day_bytes), tuple(coarser), alarms=0.02)
    rate: Any = {"value": 1, "unit": "Mbit/s", "source": "assumption"}
    fps = 5 * day_bytes / fine.mean_bytes / DAY_S
    link = a_link("ip", up__rate=rate, down__rate=rate)
    scenario = Scenario(link, Always(), DAY_S, 1, fps, rated=rated)
    outcome = simulate(scenario, fine, 1)
    accounted(outcome)
    share = outcome.packet_bytes / day_bytes
    print(f"{share:.3f} of the budget, {outcome.frames} frames, {outcome.alarms} alarms")
    print(f"{outcome.waiting} wait, dropped {dict(outcome.dropped)}")
    assert 0.85 <= share <= 1.01
    assert outcome.waiting <= 20
    assert set(outcome.dropped) == {"budget"}
    assert outcome.alarms == pytest.approx(0.02 * DAY_S * fps, rel=0.1)


def test_every_alarm_of_an_overloaded_day_is_stored(a_link: Link) -> None:
    fine, *coarser = ladder()
    rated = Rated(Budgets(day_bytes=400_000), tuple(coarser), alarms=1.0)
    scenario = Scenario(a_link("ip"), Always(), 3600.0, 1, 0.2, rated=rated)
    outcome = simulate(scenario, fine, 1)
    assert outcome.captured - outcome.alarms <= 1
    assert outcome.dropped.total() == 0


@pytest.mark.parametrize("name", ["lorawan-dr0", "lorawan-dr3", "lorawan-dr5"])
def test_the_nodes_own_duty_cycle_holds_on_air_in_every_hour(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel of this link has no budget: only the node's holds it."""
    preset = open_preset(name)
    free = preset.model_copy(update={"budgets": []})
    on_air = list[tuple[int, int]]()
    transmit = Channel.transmit

    def listen(self: Channel, way: Way, size_bytes: int, now_ns: int) -> Transit:
        if way is Way.UP:
            on_air.append((now_ns, self.air_ns(way, size_bytes, now_ns)))
        return transmit(self, way, size_bytes, now_ns)

    monkeypatch.setattr(Channel, "transmit", listen)
    small = [make_setting("tactic", 0.8, size, share=1.0) for size in (300, 200)]
    rated = Rated(Budgets(duty_cycle=0.01), (small[1],), alarms=0.05)
    scenario = Scenario(free, Always(), 3 * 3600.0, 1, 0.1, 1 << 20, rated=rated)
    outcome = simulate(scenario, small[0], 1)
    accounted(outcome)
    begins, lengths = np.array(on_air).T
    most_s = 0.0
    for begin in (*begins, *(begins + lengths - HOUR_NS)):
        within = np.minimum(begin + HOUR_NS, begins + lengths) - np.maximum(begin, begins)
        most_s = max(most_s, within.clip(0).sum() / S)
    print(f"{name}: {most_s:.2f} s of airtime in the busiest hour, {outcome.frames} frames")
    assert 20 < most_s <= 36


def test_passes_that_are_known_make_frames_coarser_and_not_late(a_link: Link) -> None:
    times = [(t, t + 300) for t in range(1800, 6 * 3600, 3600)]
    contacts = Table([Window(a * S, b * S) for a, b in times])
    known = Schedule([Contact(a * S, b * S, 9000.0) for a, b in times])
    fine, *coarser = ladder()
    blind = Scenario(a_link(), contacts, 6 * 3600.0, 1, 0.2)
    seeing = replace(blind, rated=Rated(Budgets(), tuple(coarser), schedule=known))
    before, after = simulate(blind, fine, 1), simulate(seeing, fine, 1)
    accounted(after)
    assert after.frames > 1.5 * before.frames
    assert after.waiting < 0.5 * before.waiting
