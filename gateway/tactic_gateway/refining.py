"""Asks nodes for the words that were left off frames on which a head is unsure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tactic_delivery.kinds import Refine
from tactic_delivery.refinement import Refinement, Request
from tactic_gateway.commands import Commands
from tactic_gateway.config import Refining
from tactic_gateway.metrics import Metrics
from tactic_gateway.records import Outcome
from tactic_gateway.store import Store


class Refiner:
    """From answers to commands; worker threads tell it, the service's thread tends it.

    Parameters
    ----------
    settings : config.Refining
    store : Store
    commands : Commands
    metrics : Metrics
    monotonic_ns : callable
    """

    def __init__(
        self,
        settings: Refining,
        store: Store,
        commands: Commands,
        metrics: Metrics,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._policy = settings.policy
        self._refinement = Refinement(self._policy)
        self._given_up = 0
        self._store = store
        self._commands = commands
        self._metrics = metrics
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()

    def note(self, outcome: Outcome) -> None:
        """Note what became of a frame; heads that give no score of classes say nothing."""
        scores = [score for each in outcome.results if (score := _score(each.finding.fields))]
        if not scores:
            return
        key, size_bytes = outcome.job.key, outcome.results[0].wire_bytes
        with self._lock:
            if outcome.job.parts:
                self._refinement.refined(key, size_bytes)
            else:
                now_ns = self._monotonic_ns()
                self._refinement.first(key, min(scores), size_bytes, outcome.cut, now_ns)

    def tend(self) -> None:
        """Send what is due. Call it every second or so, while there is a broker.

        Raises
        ------
        StoreError
            The store cannot be read; nothing is asked for then.
        """
        with self._lock:
            requests = self._refinement.poll(self._monotonic_ns())
            late, self._given_up = (
                self._refinement.given_up - self._given_up,
                self._refinement.given_up,
            )
        if late:
            self._metrics.add("refine.given_up", late)
        for request in requests:
            # A run that has ended has nothing left of its frames.
            if self._store.current_boot(request.node) in (None, request.boot):
                self._ask(request)

    def _ask(self, request: Request) -> None:
        wanted = Refine(frames=list(request.frames))
        lifetime_ns = self._policy.deadline_ns
        self._commands.send(request.node, request.boot, "refine", wanted, lifetime_ns)
        self._metrics.add("refine.asked", len(request.frames))


def _score(fields: object) -> float | None:
    """Score of the best class; None where there is none."""
    try:
        return float(fields["classes"][0]["score"])  # type: ignore[index]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
