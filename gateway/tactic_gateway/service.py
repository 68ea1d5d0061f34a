"""The gateway process: start, loop, drain, stop.

Order of starting: bundles, worker processes, store, ingest, connection. Worker processes load
their networks meanwhile: what is stored and acknowledged does not wait for them. Order of stopping:
broker presence, ingest, workers, store.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tactic_codec.errors import TacticError
from tactic_codec.stopping import stopped_by_signals
from tactic_gateway import config as configuration
from tactic_gateway.ages import Ages
from tactic_gateway.bundles import open_bundles, setup
from tactic_gateway.commands import Commands
from tactic_gateway.condition import Condition
from tactic_gateway.config import GatewayConfig
from tactic_gateway.database import held
from tactic_gateway.errors import StoreError
from tactic_gateway.ingest import Ingest
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.mqtt import Broker
from tactic_gateway.process import Process
from tactic_gateway.records import Outcome
from tactic_gateway.refining import Refiner
from tactic_gateway.retention import Retention
from tactic_gateway.store import Store
from tactic_gateway.telling import Teller
from tactic_gateway.topics import Topics
from tactic_gateway.workers import Workers

GOODBYE_S = 2.0
_TICK_S = 0.5


def main(config_path: Path) -> int:
    """Run the gateway until SIGTERM or SIGINT; return its exit code.

    Raises
    ------
    TacticError
        Its message is one line for the operator, its ``exit_code`` the command's.
    """
    with stopped_by_signals() as stop:
        return Service(configuration.load(config_path), Log()).run(stop)


class Service:
    """All parts of one gateway, put together.

    Raises
    ------
    TacticError
        Configuration, a bundle or the store is unusable.
    """

    def __init__(self, config: GatewayConfig, log: Log) -> None:
        self._config = config
        self._log = log
        self._metrics = Metrics()
        self._topics = Topics(config.mqtt.root, config.gateway.site)
        self._greeted = threading.Event()
        self._started_s = time.monotonic()
        self._fault: TacticError | None = None
        self._bundles = open_bundles(config, log)
        self._processes = [
            Process(setup(config, self._bundles)) for _ in range(config.workers.processes)
        ]
        self._broker = Broker(
            config.mqtt,
            self._topics,
            metrics=self._metrics,
            log=log,
            rng=random.SystemRandom(),
        )
        self._held = ExitStack()
        self._store = self._open_store()
        self._condition = Condition(
            config.store.path, config.store.min_free_bytes, self._metrics, log
        )
        keys = Keys.load(config.gateway.keys, config.gateway.site)
        commands = Commands(keys, self._topics, self._send_command)
        store, metrics = self._store, self._metrics
        refine, limit = config.refine, config.gating.limit
        self._refiner = Refiner(refine, store, commands, metrics) if refine.threshold else None
        self._teller = Teller(limit, commands, metrics) if limit is not None else None
        self._workers = self._make_workers()
        self._ingest = self._make_ingest(keys)
        self._retention = Retention(
            self._store.database,
            config.retention,
            self._condition,
            Ages(self._store.database, log),
            metrics=self._metrics,
            log=log,
        )

    def _open_store(self) -> Store:
        path = self._config.store.path
        if not self._held.enter_context(held(path)):
            raise StoreError(f"{path}: another gateway uses it; stop it or change [store] path")
        store = Store(path)
        self._log.info("store_open", path=path, **store.requeue(self._bundles))
        return store

    def _make_workers(self) -> Workers:
        return Workers(
            self._store,
            self._condition,
            self._config.workers,
            topics=self._topics,
            publish=self._send_result,
            metrics=self._metrics,
            log=self._log,
            note=self._note,
        )

    def _make_ingest(self, keys: Keys) -> Ingest:
        return Ingest(
            self._store,
            self._condition,
            self._topics,
            keys,
            max_backlog=self._config.workers.max_backlog,
            publish=self._send_ack,
            wake=self._workers.wake,
            metrics=self._metrics,
            log=self._log,
        )

    def run(self, stop: threading.Event) -> int:
        """Work until ``stop`` is set; 0, or 1 if a thread ended by itself.

        Raises
        ------
        TacticError
            A worker cannot use a bundle.
        """
        self._condition.look(self._store.attempt)
        self._broker.announce(self._condition.good)
        threads = self._start_threads(stop)
        self._broker.start(self._ingest.offer, self._greeted.set)
        self._log.info("gateway_ready", site=self._config.gateway.site)
        next_health_s = time.monotonic()
        while not stop.wait(_TICK_S) and all(thread.is_alive() for thread in threads):
            self._broker.tend()
            self._condition.look(self._store.attempt)
            self._broker.announce(self._condition.good)
            if self._greeted.is_set():
                self._republish()
            self._refine()
            if time.monotonic() >= next_health_s:
                self._report()
                next_health_s = time.monotonic() + self._config.gateway.health_interval_s
        failed = not stop.is_set()
        stop.set()
        self._drain(threads)
        if self._fault is not None:
            raise self._fault
        return int(failed)

    def _start_threads(self, stop: threading.Event) -> list[threading.Thread]:
        targets: list[Callable[[threading.Event], None]] = [self._ingest.run, self._retention.run]
        targets += [partial(self._workers.run, process) for process in self._processes]
        threads = [threading.Thread(target=self._guard, args=(t, stop)) for t in targets]
        for thread in threads:
            thread.start()
        return threads

    def _guard(self, target: Callable[[threading.Event], None], stop: threading.Event) -> None:
        try:
            target(stop)
        except TacticError as fault:
            self._fault = fault
        except Exception as fault:  # a fault of the program: say so, and let it be restarted
            self._log.error("thread_ended", error=f"{type(fault).__name__}: {fault}")

    def _drain(self, threads: list[threading.Thread]) -> None:
        self._log.info("gateway_stopping")
        self._broker.stop(GOODBYE_S)
        self._workers.wake()
        for thread in threads:
            thread.join()
        self._store.close()
        self._held.close()
        self._log.info("gateway_stopped", **self._metrics.snapshot())

    def _report(self) -> None:
        health = {
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "bundles": [f"{wire:04x}" for wire in self._bundles],
            "store": self._condition.state.value,
            "backlog": self._store.backlog,
            "alarms": self._ingest.watchlist.alarms,
            "counters": self._metrics.snapshot(),
        }
        self._log.info("health", mqtt=self._broker.connected, **health)
        self._broker.publish(self._topics.health, json.dumps(health), 0, True)

    def _republish(self) -> None:
        self._greeted.clear()
        try:
            self._workers.republish()
        except StoreError as fault:
            self._condition.failed(fault)
            self._greeted.set()

    def _note(self, outcome: Outcome) -> None:
        if self._refiner:
            self._refiner.note(outcome)
        if self._teller:
            self._teller.note(outcome)

    def _refine(self) -> None:
        if self._refiner is None or not (self._broker.connected and self._condition.good):
            return
        try:
            self._refiner.tend()
        except StoreError as fault:
            self._condition.failed(fault)

    def _send_command(self, topic: str, body: bytes) -> None:
        self._broker.publish(topic, body, qos=1, retain=False)

    def _send_ack(self, topic: str, ack: bytes) -> None:
        self._broker.publish(topic, ack, qos=0, retain=False)

    def _send_result(self, topic: str, body: str, retain: bool) -> None:
        self._broker.publish(topic, body, qos=1, retain=retain)
