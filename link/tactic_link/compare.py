"""Codecs over one link: which settings compete, which of each codec is best, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tactic_link.capacity import airtime_share, frame_airtime_s
from tactic_link.delays import Delays
from tactic_link.outcome import Outcome
from tactic_link.parallel import run_all
from tactic_link.scenario import Scenario
from tactic_link.simulator import simulate
from tactic_link.traces import Setting, Traces

OURS = "tactic"
#: accuracy below that of the head on uncompressed photos that a setting may lose, unless told
LOSS = 0.10
#: settings of one codec that are simulated, of those that promise most
_KEPT = 2
_RESAMPLES = 1000
_PERCENTILES = (2.5, 97.5)

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Contender:
    """A setting and what became of it, once for each seed.

    Attributes
    ----------
    setting : Setting
    competes : bool
        Its accuracy is high enough.
    outcomes : list of Outcome
    """

    setting: Setting
    competes: bool
    outcomes: list[Outcome] = field(default_factory=list)

    def mean(self, figure: Callable[[Outcome], float]) -> float:
        """Mean over the seeds."""
        return float(np.mean([figure(outcome) for outcome in self.outcomes]))

    @property
    def correct(self) -> float:
        """Correct decisions, mean over the seeds."""
        return self.mean(lambda outcome: outcome.correct)

    @property
    def cost_usd(self) -> float | None:
        """Mean over the seeds; None where the link has no price."""
        costs = [outcome.cost_usd for outcome in self.outcomes]
        return float(np.mean([c for c in costs if c is not None])) if None not in costs else None

    @property
    def delays(self) -> Delays:
        """Of all seeds."""
        total = Delays()
        for outcome in self.outcomes:
            total.merge(outcome.delays)
        return total

    @property
    def by_photo(self) -> Floats:
        """Correct decisions on each photo, mean over the seeds, float64 (N,)."""
        return np.asarray(np.mean([outcome.by_photo[1] for outcome in self.outcomes], axis=0))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was simulated over one link.

    Attributes
    ----------
    scenario : Scenario
    traces : Traces
    contenders : tuple of Contender
    loss : float
        Accuracy that a setting that competes may lose.
    """

    scenario: Scenario
    traces: Traces
    contenders: tuple[Contender, ...]
    loss: float

    @property
    def codecs(self) -> list[str]:
        """Names of the codecs, in the order of the traces."""
        return list(dict.fromkeys(setting.codec for setting in self.traces.settings))

    def best(self, codec: str) -> Contender | None:
        """The setting of a codec that competes and brings most; None: none competes."""
        found = [c for c in self.contenders if c.setting.codec == codec and c.competes]
        return max(found, key=lambda c: c.correct, default=None)

    def interval(self, contender: Contender) -> list[float]:
        """95 % of the draws of photos lie in it: correct decisions."""
        return _middle(contender.by_photo @ _weights(self.traces.photos) * self.traces.photos)

    def ratio(self, codec: str) -> tuple[float, list[float]] | None:
        """Correct decisions of tactic per one of a codec, and the interval of that."""
        ours, theirs = self.best(OURS), self.best(codec)
        if not ours or not theirs or not theirs.correct:
            return None
        weights = _weights(self.traces.photos)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = (ours.by_photo @ weights) / (theirs.by_photo @ weights)
        return ours.correct / theirs.correct, _middle(drawn[np.isfinite(drawn)])


def compare(
    scenario: Scenario,
    traces: Traces,
    seeds: Sequence[int],
    jobs: int,
    done: Callable[[], None],
    loss: float = LOSS,
) -> Comparison:
    """Simulate the settings that promise most of every codec, and every level of tactic.

    Parameters
    ----------
    scenario : Scenario
    traces : Traces
    seeds : sequence of int
    jobs : int
        Processes.
    done : callable
        Called after each simulation.
    loss : float
        Accuracy that a setting that competes may lose.
    """
    contenders = shortlist(scenario, traces, loss)
    tasks = [
        (_with_coarser(scenario, contender.setting, traces), contender.setting, seed)
        for contender in contenders
        for seed in seeds
    ]
    outcomes = run_all(simulate, tasks, jobs, done)
    for number, outcome in enumerate(outcomes):
        contenders[number // len(seeds)].outcomes.append(outcome)
    return Comparison(scenario, traces, tuple(contenders), loss)


def _with_coarser(scenario: Scenario, setting: Setting, traces: Traces) -> Scenario:
    if scenario.rated is None:
        return scenario
    return replace(scenario, rated=scenario.rated.beside(setting, traces.settings))


def shortlist(scenario: Scenario, traces: Traces, loss: float = LOSS) -> list[Contender]:
    """Choose what to simulate: the settings of each codec that promise most, and all levels."""
    found: list[Contender] = []
    for codec in dict.fromkeys(setting.codec for setting in traces.settings):
        mine = [
            Contender(s, s.accuracy >= traces.clean_accuracy - loss)
            for s in traces.settings
            if s.codec == codec
        ]
        mine.sort(key=lambda c: (-c.competes, -promise(scenario, c.setting), c.setting.mean_bytes))
        found += [c for n, c in enumerate(mine) if n < _KEPT or c.setting.knobs.get("share") == 1]
    return found


def promise(scenario: Scenario, setting: Setting) -> float:
    """Correct decisions if nothing were lost and nobody waited."""
    preset = scenario.preset
    sizes, counts = np.unique(setting.packet_bytes, return_counts=True)
    each_s = np.array([frame_airtime_s(preset, int(size)) for size in sizes])
    frame_s = float(each_s @ counts / counts.sum())
    channels = 1 if preset.shared else scenario.nodes
    carried = scenario.contact_s * airtime_share(preset, scenario.fair_use) * channels / frame_s
    offered = scenario.nodes * scenario.fps * scenario.seconds
    return min(carried, offered) * setting.accuracy


def _weights(photos: int) -> Floats:
    """Bootstrap: the share of each photo in each draw, float64 (photos, draws)."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(photos, np.full(photos, 1.0 / photos), size=_RESAMPLES)
    return np.asarray(counts.T / photos)


def _middle(drawn: Floats) -> list[float]:
    low, high = np.percentile(drawn, _PERCENTILES)
    return [float(low), float(high)]
