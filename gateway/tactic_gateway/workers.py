"""Threads that take frames from the store, have them decoded, and publish the results.

Each thread looks after one worker process. A worker that dies or overruns gives its frames back:
they are tried again one by one, and one that was in hand twice is not tried a third time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tactic_codec.errors import BundleError
from tactic_codec.types import FrameKey
from tactic_gateway.condition import Condition, State
from tactic_gateway.config import Workers as Settings
from tactic_gateway.errors import StoreError, WorkerLostError
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.outcomes import outcome
from tactic_gateway.pipes import Patience
from tactic_gateway.process import Worker
from tactic_gateway.records import Job, Outcome
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics

_IDLE_S = 1.0
_STORE_RETRY_S = 1.0
_START_S = 120.0
_LONGEST_PAUSE_S = 30.0
_DRAIN_S = 20.0

T = TypeVar("T")
Publish = Callable[[str, str, bool], None]


class Workers:
    """What all worker threads share; the store is their queue.

    Parameters
    ----------
    store : Store
    condition : Condition
        Of the store.
    settings : config.Workers
    topics : Topics
    publish : callable (topic, JSON, retain)
        Sends a result; must not block.
    metrics : Metrics
    log : Log
    note : callable (Outcome) or None
        Told what became of each frame, after it was published.
    now_ns : callable
        Unix time.
    """

    def __init__(
        self,
        store: Store,
        condition: Condition,
        settings: Settings,
        *,
        topics: Topics,
        publish: Publish,
        metrics: Metrics,
        log: Log,
        note: Callable[[Outcome], None] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._condition = condition
        self._settings = settings
        self._topics = topics
        self._publish = publish
        self._metrics = metrics
        self._log = log
        self._note = note
        self._now_ns = now_ns
        self._awake = threading.Event()
        # Between commit and publication no other thread may publish: "latest" would go back.
        self._order = threading.Lock()

    def wake(self) -> None:
        """Say that there may be new frames."""
        self._awake.set()

    def run(self, worker: Worker, stop: threading.Event) -> None:
        """Work until ``stop`` is set; the batch in hand is finished first.

        Raises
        ------
        BundleError
            The worker cannot use a bundle, at its first start.
        """
        try:
            self._start(worker, stop, first=True)
            while not stop.is_set():
                # Cleared before looking, so that a frame that comes meanwhile is not missed.
                self._awake.clear()
                if jobs := self._take(stop):
                    self.handle(jobs, worker, stop)
                    self._awake.set()
                self._awake.wait(_IDLE_S)
        finally:
            worker.stop()

    def handle(self, jobs: list[Job], worker: Worker, stop: threading.Event) -> None:
        """Process frames, store what became of them, then publish it."""
        try:
            left_s = _patience(self._settings.batch_limit_s, stop)
            verdicts = worker.process(jobs, left_s)
        except WorkerLostError as lost:
            self._give_back(jobs, lost, stop)
            self._start(worker, stop)
        else:
            pairs = zip(jobs, verdicts, strict=True)
            self._finish([outcome(job, verdict, self._now_ns()) for job, verdict in pairs], stop)

    def republish(self) -> None:
        """Publish every latest result again: a broker that was restarted may have lost them."""
        with self._order:
            for node, task, body in self._store.latest():
                self._publish(self._topics.of(node, "last", task), body, True)

    def _take(self, stop: threading.Event) -> list[Job]:
        settings = self._settings
        jobs = self._claim(settings.batch, stop)
        if 0 < len(jobs) < settings.batch and settings.batch_wait_ms:
            stop.wait(settings.batch_wait_ms / 1000)
            jobs += self._claim(settings.batch - len(jobs), stop)
        return jobs

    def _claim(self, limit: int, stop: threading.Event) -> list[Job]:
        if self._condition.state is not State.FAILING:
            try:
                return self._store.claim(limit)
            except StoreError as fault:
                self._condition.failed(fault)
        stop.wait(_STORE_RETRY_S)
        return []

    def _start(self, worker: Worker, stop: threading.Event, first: bool = False) -> None:
        pause_s = 1.0
        while not stop.is_set():
            try:
                worker.start(_patience(_START_S, stop))
                return
            except (BundleError, WorkerLostError) as fault:
                if first and isinstance(fault, BundleError):
                    raise
                if not stop.is_set():
                    self._log.error("worker_not_started", error=str(fault), again_in_s=pause_s)
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _give_back(self, jobs: list[Job], lost: WorkerLostError, stop: threading.Event) -> None:
        if stop.is_set() and lost.reason == "timeout":
            return  # it was not given its time: the next start takes these frames up
        self._metrics.add(f"lost.{lost.reason}")
        remedy = "it is started again and its frames are tried one by one"
        self._log.warning(
            "worker_lost", reason=lost.reason, detail=lost.detail, frames=len(jobs), remedy=remedy
        )
        failed = self._insist(lambda: self._store.strike(jobs, lost.reason, lost.detail), stop)
        for key in failed or ():
            self._metrics.add("frames")
            self._note_failed(key, lost.reason, lost.detail)

    def _finish(self, outcomes: list[Outcome], stop: threading.Event) -> None:
        with self._order:
            fresh = self._insist(lambda: self._store.finish(outcomes), stop)
            if fresh is None:
                return
            for result, latest in fresh:
                node, task, body = result.key.node, result.finding.task, result.to_json()
                self._publish(self._topics.of(node, "result", task), body, False)
                if latest:
                    self._publish(self._topics.of(node, "last", task), body, True)
        self._count(outcomes, len(fresh))
        if self._note:
            for each in outcomes:
                self._note(each)

    def _insist(self, commit: Callable[[], T], stop: threading.Event) -> T | None:
        """Try until the store takes it; None if it did not before the end of the process."""
        while True:
            try:
                return commit()
            except StoreError as fault:
                self._condition.failed(fault)
                if stop.wait(_STORE_RETRY_S):
                    return None

    def _count(self, outcomes: list[Outcome], results: int) -> None:
        self._metrics.add("frames", len(outcomes))
        self._metrics.add("results", results)
        for each in outcomes:
            if each.failure:
                self._note_failed(each.job.key, *each.failure)

    def _note_failed(self, key: FrameKey, reason: str, detail: str) -> None:
        self._metrics.add(f"failed.{reason}")
        self._log.warning("frame_failed", frame=str(key), reason=reason, detail=detail)


def _patience(limit_s: float, stop: threading.Event) -> Patience:
    """Seconds left of a limit; fewer once the gateway stops."""
    end_s = time.monotonic() + limit_s
    stopped_s: list[float] = []

    def left_s() -> float:
        now_s = time.monotonic()
        if stop.is_set() and not stopped_s:
            stopped_s.append(now_s)
        drained_s = stopped_s[0] + _DRAIN_S if stopped_s else end_s
        return min(end_s, drained_s) - now_s

    return left_s
