"""Which settings compete, which is best, and how that is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tactic_link import plots
from tactic_link.compare import Comparison, compare, promise, shortlist
from tactic_link.delays import Delays
from tactic_link.preset import Preset
from tactic_link.scenario import Scenario
from tactic_link.summary import summarise
from tactic_link.traces import Traces
from tactic_link.windows import Always

Link = Callable[..., Preset]


@pytest.fixture(scope="module")
def scenario(a_link: Link) -> Scenario:
    """A minute on a link that is far too thin for one frame a second."""
    rate = {"value": 2.4, "unit": "kbit/s", "source": "assumption"}
    return Scenario(a_link(up__rate=rate), Always(), 120.0, nodes=1, fps=1.0)


@pytest.fixture
def found(scenario: Scenario, traces: Traces) -> Comparison:
    """A comparison over it, with two seeds."""
    return compare(scenario, traces, (0, 1), 1, lambda: None)


def test_only_what_keeps_the_accuracy_competes(scenario: Scenario, traces: Traces) -> None:
    competing = {
        (c.setting.codec, c.setting.mean_bytes): c.competes for c in shortlist(scenario, traces)
    }
    # Uncompressed is 90 %, so 80 % is needed.
    assert competing == {
        ("tactic", 404.0): True,
        ("tactic", 204.0): False,
        ("jpeg", 1604.0): True,
        ("jpeg", 304.0): False,
        ("webp", 104.0): False,
        ("head", 22.0): True,
    }
    assert all(c.competes for c in shortlist(scenario, traces, loss=0.5))


def test_promise_is_what_the_rate_carries(scenario: Scenario, traces: Traces) -> None:
    ours = traces.settings[0]
    on_air = 404 + 2 * 3 + 3 * 10
    assert promise(scenario, ours) == pytest.approx(
        120 * 2400 / 8 / on_air * ours.accuracy, rel=0.03
    )


def test_fewer_bytes_bring_more_correct_decisions(found: Comparison) -> None:
    ours, theirs = found.best("tactic"), found.best("jpeg")
    assert ours
    assert theirs
    assert found.best("webp") is None
    assert found.best("nothing") is None
    ratio = found.ratio("jpeg")
    assert ratio
    low, high = ratio[1]
    assert low < ratio[0] < high
    assert ratio[0] == pytest.approx(ours.correct / theirs.correct)
    assert ratio[0] > 3
    low, high = found.interval(ours)
    assert low < ours.correct < high


def test_the_json_object(found: Comparison) -> None:
    result = json.loads(json.dumps(summarise("mine", found)))
    assert result["preset"] == "mine"
    assert result["seconds"] == 120.0
    assert set(result["codecs"]) == {"tactic", "jpeg", "webp", "head"}
    assert result["codecs"]["webp"] is None
    wanted = {"frames", "correct", "bytes", "cost", "delay_p50_s", "delay_p95_s"}
    for codec in ("tactic", "jpeg", "head"):
        assert wanted <= set(result["codecs"][codec])
    assert result["codecs"]["head"]["correct"] > result["codecs"]["tactic"]["correct"]
    assert result["correct_ratio"]["webp"] is None
    assert result["accuracy_needed"] == pytest.approx(0.8)


def test_several_processes_find_the_same(scenario: Scenario, traces: Traces) -> None:
    told: list[int] = []
    one = compare(scenario, traces, (0,), 1, lambda: told.append(1))
    two = compare(scenario, traces, (0,), 2, lambda: told.append(2))
    assert [c.correct for c in one.contenders] == [c.correct for c in two.contenders]
    assert told == [1] * len(one.contenders) + [2] * len(one.contenders)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_figure_is_the_same_every_time(tmp_path: Path, found: Comparison, suffix: str) -> None:
    paths = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for path in paths:
        plots.save(found, "title", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_delays_are_known_within_half_a_per_cent() -> None:
    drawn = np.random.default_rng(1).lognormal(1.0, 2.0, 2000)
    delays = Delays()
    for seconds in drawn:
        delays.add(float(seconds))
    for share in (0.05, 0.5, 0.95):
        found = delays.percentile(share)
        assert found == pytest.approx(np.quantile(drawn, share), rel=0.02)
    assert Delays().percentile(0.5) is None
