"""Threads that take frames from the store, process them, and publish the results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from tactic_gateway.errors import StoreError
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.pipeline import Pipeline
from tactic_gateway.records import Job, Outcome
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics

_IDLE_S = 1.0
_STORE_RETRY_S = 1.0

Publish = Callable[[str, str, bool], None]


class Workers:
    """What all worker threads share; the store is their queue.

    Parameters
    ----------
    store : Store
    pipelines : mapping of int to Pipeline
        By the short id of the bundle.
    batch : int
        Frames taken at once.
    batch_wait_s : float
        How long a batch that is not full waits for more frames.
    topics : Topics
    publish : callable (topic, JSON, retain)
        Sends a result; must not block.
    metrics : Metrics
    log : Log
    """

    def __init__(
        self,
        store: Store,
        pipelines: Mapping[int, Pipeline],
        *,
        batch: int,
        batch_wait_s: float,
        topics: Topics,
        publish: Publish,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._store = store
        self._pipelines = pipelines
        self._topics = topics
        self._publish = publish
        self._metrics = metrics
        self._log = log
        self._batch = batch
        self._batch_wait_s = batch_wait_s
        self._awake = threading.Event()
        # Between commit and publication no other thread may publish: "latest" would go back.
        self._order = threading.Lock()

    def wake(self) -> None:
        """Say that there may be new frames."""
        self._awake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; the batch in hand is finished first."""
        while not stop.is_set():
            try:
                # Cleared before looking, so that a frame that comes meanwhile is not missed.
                self._awake.clear()
                if jobs := self._take(stop):
                    self.handle(jobs)
                    self._awake.set()
            except StoreError as fault:
                self._metrics.add("store_errors")
                self._log.error("store_failed", error=str(fault))
                stop.wait(_STORE_RETRY_S)
            else:
                self._awake.wait(_IDLE_S)

    def _take(self, stop: threading.Event) -> list[Job]:
        jobs = self._store.claim(self._batch)
        if 0 < len(jobs) < self._batch and self._batch_wait_s:
            stop.wait(self._batch_wait_s)
            jobs += self._store.claim(self._batch - len(jobs))
        return jobs

    def republish(self) -> None:
        """Publish every latest result again: a broker that was restarted may have lost them."""
        with self._order:
            for node, task, body in self._store.latest():
                self._publish(self._topics.of(node, "last", task), body, True)

    def handle(self, jobs: list[Job]) -> None:
        """Process frames, store what became of them, then publish it."""
        outcomes: list[Outcome] = []
        for wire in sorted({job.bundle for job in jobs}):
            of_bundle = [job for job in jobs if job.bundle == wire]
            outcomes += self._pipelines[wire].process(of_bundle)
        with self._order:
            fresh = self._store.finish(outcomes)
            for result, latest in fresh:
                node, task, body = result.key.node, result.task, result.to_json()
                self._publish(self._topics.of(node, "result", task), body, False)
                if latest:
                    self._publish(self._topics.of(node, "last", task), body, True)
        self._count(outcomes, len(fresh))

    def _count(self, outcomes: list[Outcome], results: int) -> None:
        self._metrics.add("frames", len(outcomes))
        self._metrics.add("results", results)
        for outcome in outcomes:
            if outcome.failure:
                reason, detail = outcome.failure
                self._metrics.add(f"failed.{reason}")
                key = str(outcome.job.key)
                self._log.warning("frame_failed", frame=key, reason=reason, detail=detail)
