"""Chooses a threshold on some clips and judges it on others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from tactic.evaluate.errors import EvaluationError
from tactic.gate.clip import Clip
from tactic.gate.replay import Figures, bound, judge, replay, total

#: a step is 8 %
THRESHOLDS = tuple(float(each) for each in np.geomspace(0.25, 8.0, 46).round(3))
AGREEMENT = 0.98
CAUGHT = 0.9
#: a clip has few changes: so sure it shall be that of others as many are sent (nine of ten)
_SURE = NormalDist().inv_cdf(0.9)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A clip at every threshold.

    Attributes
    ----------
    name : str
    told : tuple of Figures
        The gateway tells the margins.
    alone : tuple of Figures
        Nobody tells anything.
    bound : Figures
        Of a gate that knows the answers.
    """

    name: str
    told: tuple[Figures, ...]
    alone: tuple[Figures, ...]
    bound: Figures


@dataclass(frozen=True, slots=True)
class Verdict:
    """A threshold that was chosen on some clips, and what it did on another one."""

    chosen_on: str
    judged_on: str
    threshold: float
    figures: Figures


def sweep(clip: Clip, limit: float, delay_s: float) -> Sweep:
    """Replay a clip at every threshold."""
    told, alone = (
        tuple(judge(clip, *replay(clip, each, limit, late), limit) for each in THRESHOLDS)
        for late in (delay_s, None)
    )
    return Sweep(clip.name, told, alone, bound(clip, limit))


def choose(sweeps: Sequence[Sweep]) -> int:
    """Index of the threshold that sends the fewest bytes and keeps what is wanted.

    Raises
    ------
    EvaluationError
        None does.
    """
    sums = [total(each.told[n] for each in sweeps) for n in range(len(THRESHOLDS))]
    kept = [n for n, each in enumerate(sums) if _keeps(each)]
    if kept:
        return min(kept, key=lambda n: sums[n].bytes_sent)
    names, changes = ", ".join(each.name for each in sweeps), sums[0].changes
    if least(changes, changes) < CAUGHT:
        raise EvaluationError(
            f"{names}: {changes} changes of the answer are too few to choose by; give --clip a "
            "longer video, or more of them"
        )
    raise EvaluationError(
        f"{names}: no threshold keeps {AGREEMENT:.0%} of the answers and {CAUGHT:.0%} of their "
        "changes; raise --limit: below it, answers change by chance"
    )


def _keeps(figures: Figures) -> bool:
    caught = least(figures.changes_sent, figures.changes)
    return figures.agreement >= AGREEMENT and caught >= CAUGHT


def least(found: int, of: int) -> float:
    """Lower end of a share, as Wilson's score interval has it: at nine of ten it is more."""
    if not of:
        return 0.0
    share, squared = found / of, _SURE**2
    spread = _SURE * math.sqrt(share * (1.0 - share) / of + squared / (4.0 * of**2))
    return (share + squared / (2.0 * of) - spread) / (1.0 + squared / of)


def cross(sweeps: Sequence[Sweep]) -> list[Verdict]:
    """Each clip by what was chosen on the others.

    Parameters
    ----------
    sweeps : sequence of Sweep
        Two or more.
    """
    found = []
    for each in sweeps:
        others = [other for other in sweeps if other is not each]
        n = choose(others)
        names = ", ".join(other.name for other in others)
        found.append(Verdict(names, each.name, THRESHOLDS[n], each.told[n]))
    return found


@dataclass(frozen=True, slots=True)
class Findings:
    """What came of it.

    Attributes
    ----------
    sweeps : list of Sweep
        Of the clips; of its halves, where there is one clip.
    verdicts : list of Verdict
    threshold : float
        Chosen on everything: what to set.
    """

    sweeps: list[Sweep]
    verdicts: list[Verdict]
    threshold: float

    @property
    def together(self) -> Figures:
        """All clips, each by a threshold that was chosen without it."""
        return total(each.figures for each in self.verdicts)


def find(clips: list[Clip], limit: float, delay_s: float) -> Findings:
    """Choose and judge; one clip is judged half by half.

    Raises
    ------
    EvaluationError
        No threshold keeps what is wanted.
    """
    parts = clips if len(clips) > 1 else [clips[0].half(0), clips[0].half(1)]
    sweeps = [sweep(part, limit, delay_s) for part in parts]
    return Findings(sweeps, cross(sweeps), THRESHOLDS[choose(sweeps)])
