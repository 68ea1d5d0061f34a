"""Check, commit, acknowledge, hand on: in that order, for whatever the broker delivers.

Messages are collected for a few milliseconds and committed together. A packet is acknowledged
only after its commit, so a gateway that dies at any moment loses nothing that a node forgot.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tactic_codec.errors import PacketError
from tactic_codec.node_key import Purpose
from tactic_gateway.errors import StoreError
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.reader import Message, RejectError, read
from tactic_gateway.receivers import NodeBoot, Receivers
from tactic_gateway.records import Arrival, Birth
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics

QUEUE_MESSAGES = 1024
COMMIT_MESSAGES = 256
COMMIT_WAIT_S = 0.005
STORE_RETRY_S = 1.0
_IDLE_S = 0.2


@dataclass(slots=True)
class _Batch:
    arrivals: list[Arrival] = field(default_factory=list)
    births: list[Birth] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    touched: set[NodeBoot] = field(default_factory=set)
    duplicates: int = 0


class Ingest:
    """The one thread that writes packets.

    Parameters
    ----------
    store : Store
    topics : Topics
    keys : Keys
    publish : callable (topic, payload)
        Sends an acknowledgement; must not block.
    wake : callable
        Called after a commit that may have brought frames.
    metrics : Metrics
    log : Log
    """

    def __init__(
        self,
        store: Store,
        topics: Topics,
        keys: Keys,
        *,
        publish: Callable[[str, bytes], None],
        wake: Callable[[], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._store = store
        self._topics = topics
        self._keys = keys
        self._publish = publish
        self._wake = wake
        self._metrics = metrics
        self._log = log
        self._receivers = Receivers(store)
        self._unknown: set[int] = set()
        self._queue: queue.Queue[Message] = queue.Queue(QUEUE_MESSAGES)

    def offer(self, message: Message) -> None:
        """Take a message from the network thread; never blocks.

        When the queue is full the message is let go: its node sends it again, because it was
        not acknowledged.
        """
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._metrics.add("overflow")

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set and the queue is empty."""
        while not (stop.is_set() and self._queue.empty()):
            if messages := self._collect():
                self.handle(messages, stop)

    def _collect(self) -> list[Message]:
        try:
            messages = [self._queue.get(timeout=_IDLE_S)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + COMMIT_WAIT_S
        while len(messages) < COMMIT_MESSAGES:
            try:
                messages.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        return messages

    def handle(self, messages: list[Message], stop: threading.Event) -> None:
        """Store a batch and acknowledge it; let it go where the store fails."""
        batch = _Batch()
        try:
            for message in messages:
                self._add(message, batch)
            waiting = self._store.commit(batch.arrivals, batch.births, batch.rejects)
        except StoreError as fault:
            self._receivers.forget(batch.touched)
            self._metrics.add("store_errors")
            self._log.error("store_failed", error=str(fault), messages=len(messages))
            stop.wait(STORE_RETRY_S)
            return
        window = QUEUE_MESSAGES - self._queue.qsize()
        for node, ack in self._receivers.acknowledge(batch.touched, window):
            signed = self._keys.sign(node, Purpose.ACK, ack)
            self._publish(self._topics.of(node, "ack"), signed)
        self._count(batch)
        self._note_unknown(waiting)
        if batch.arrivals:
            self._wake()

    def _add(self, message: Message, batch: _Batch) -> None:
        try:
            record = read(message, self._topics, self._keys)
            if isinstance(record, Birth):
                batch.births.append(record)
                return
            receipt = self._receivers.record(record.node, record.packet)
        except RejectError as fault:
            batch.rejects[str(fault)] += 1
        except PacketError as fault:
            batch.rejects[fault.reason] += 1
        else:
            batch.touched.add((record.node, record.packet.boot))
            if receipt.new:
                batch.arrivals.append(replace(record, drops=receipt.dropped))
            else:
                batch.duplicates += 1

    def _note_unknown(self, waiting: Counter[int]) -> None:
        self._metrics.add("waiting", waiting.total())
        for wire in sorted(set(waiting) - self._unknown):
            remedy = "its frames are stored and wait: add its path to [bundles] and restart"
            self._log.warning("bundle_unknown", bundle=f"{wire:04x}", remedy=remedy)
        self._unknown |= set(waiting)

    def _count(self, batch: _Batch) -> None:
        self._metrics.add("packets", len(batch.arrivals))
        self._metrics.add("duplicates", batch.duplicates)
        for reason, count in batch.rejects.items():
            self._metrics.add(f"rejected.{reason}", count)
        for birth in batch.births:
            self._log.info("birth", node=birth.node, boot=birth.boot)
