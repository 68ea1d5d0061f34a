"""Tells nodes how near their answers are to others, for their change gating."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tactic_delivery.kinds import Margin
from tactic_delivery.margins import Margins, margin
from tactic_gateway.commands import Commands
from tactic_gateway.metrics import Metrics
from tactic_gateway.records import Outcome

#: soon another answer counts; and nodes remember few commands that have not expired
LIFETIME_NS = 8_000_000_000


class Teller:
    """From answers to commands; worker threads call it.

    Parameters
    ----------
    limit : float
        Score below which an answer counts as none.
    commands : Commands
    metrics : Metrics
    monotonic_ns : callable
    """

    def __init__(
        self,
        limit: float,
        commands: Commands,
        metrics: Metrics,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._limit = limit
        self._margins = Margins()
        self._commands = commands
        self._metrics = metrics
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()

    def note(self, outcome: Outcome) -> None:
        """Note what became of a frame; heads that give no scores of classes say nothing."""
        found = [scores for each in outcome.results if (scores := _scores(each.finding.fields))]
        if not found:
            return
        nearest = min(margin(scores, self._limit) for scores in found)
        key = outcome.job.key
        # Under the lock to the end, so that what is told last is the newest.
        with self._lock:
            told = self._margins.answered(key, nearest, self._monotonic_ns())
            if told is not None:
                arguments = Margin(margin=told)
                self._commands.send(key.node, key.boot, "margin", arguments, LIFETIME_NS)
                self._metrics.add("gating.told")


def _scores(fields: object) -> list[float]:
    """Scores of the best classes, the best first; none where there are none."""
    try:
        return [float(each["score"]) for each in fields["classes"][:2]]  # type: ignore[index]
    except (KeyError, IndexError, TypeError, ValueError):
        return []
