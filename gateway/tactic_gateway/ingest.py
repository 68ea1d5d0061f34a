"""Check, commit, acknowledge, hand on: in that order, for whatever the broker delivers.

Messages are collected for a few milliseconds and committed together. A packet is acknowledged
only after its commit, so a gateway that dies at any moment loses nothing that a node forgot.
While the store can take nothing, nothing is noted, and every node that sends is told to wait.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from tactic_codec.errors import PacketError
from tactic_codec.node_key import Purpose
from tactic_delivery.ack import Ack, pack, shorten
from tactic_gateway.condition import Condition
from tactic_gateway.errors import StoreError
from tactic_gateway.inlet import Inlet
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.reader import Message, RejectError, read
from tactic_gateway.receivers import Receivers
from tactic_gateway.records import Arrival, Birth, Ledger
from tactic_gateway.settled import NodeBoot
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics
from tactic_gateway.watchlist import Watchlist
from tactic_gateway.window import window

MAX_NODES = 1024
MAX_BUNDLES_NAMED = 64


@dataclass(slots=True)
class _Batch:
    arrivals: list[Arrival] = field(default_factory=list)
    births: list[Birth] = field(default_factory=list)
    health: dict[str, tuple[Ledger, int]] = field(default_factory=dict)
    rejects: Counter[str] = field(default_factory=Counter)
    touched: set[NodeBoot] = field(default_factory=set)
    duplicates: int = 0

    @property
    def nodes(self) -> int:
        return len({node for node, _ in self.touched})


class Ingest:
    """The one thread that writes packets.

    Parameters
    ----------
    store : Store
    condition : Condition
        Of the store.
    topics : Topics
    keys : Keys
    max_backlog : int
        Frames not decoded yet at which nodes are told to wait.
    publish : callable (topic, payload)
        Sends an acknowledgement; must not block.
    wake : callable
        Called after a commit that may have brought frames.
    metrics : Metrics
    log : Log

    Attributes
    ----------
    watchlist : Watchlist
        What the nodes say is wrong with them.
    """

    def __init__(
        self,
        store: Store,
        condition: Condition,
        topics: Topics,
        keys: Keys,
        *,
        max_backlog: int,
        publish: Callable[[str, bytes], None],
        wake: Callable[[], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._store = store
        self._condition = condition
        self._topics = topics
        self._keys = keys
        self._max_backlog = max_backlog
        self._publish = publish
        self._wake = wake
        self._metrics = metrics
        self._log = log
        self._receivers = Receivers(store)
        self._inlet = Inlet()
        self._births: dict[str, Birth] = {}
        self._told_to_wait: set[NodeBoot] = set()
        self._unknown: set[int] = set()
        self._booted: dict[str, int] = {}
        self._answer_bytes: dict[str, int] = {}
        self._away = False
        self.watchlist = Watchlist(log, MAX_NODES)

    def offer(self, message: Message) -> None:
        """Take a message from the network thread; never blocks.

        Where there is no room the message is let go: its node sends it again, because it was
        not acknowledged.
        """
        if not self._inlet.offer(message):
            self._metrics.add("overflow")

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set and nothing is left that arrived."""
        while not (stop.is_set() and self._inlet.empty()):
            messages = self._inlet.collect()
            self.tend()
            if messages:
                self.handle(messages)

    def tend(self) -> None:
        """Tell nodes that waited to go on, once they may."""
        if not self._condition.good:
            self._away = True
            return
        if self._away:
            # The store was opened anew, perhaps after its disk was away.
            self._receivers.clear()
            self._away = False
        if self._told_to_wait and (size := self._window(len(self._told_to_wait))):
            waiting, self._told_to_wait = self._told_to_wait, set()
            self._acknowledge(waiting, size)

    def handle(self, messages: list[Message]) -> None:
        """Store a batch and acknowledge it; let it go where the store cannot take it."""
        if not self._condition.good:
            self._turn_away(messages)
            return
        batch = _Batch(births=list(self._births.values()))
        try:
            for message in messages:
                self._add(message, batch)
            waiting = self._store.commit(
                batch.arrivals, batch.births, batch.rejects, batch.health.values()
            )
        except StoreError as fault:
            self._receivers.forget(batch.touched)
            self._condition.failed(fault)
            self._turn_away(messages)
            return
        self._births.clear()
        self._acknowledge(batch.touched, self._window(batch.nodes))
        self._count(batch)
        self._note_unknown(waiting)
        self.watchlist.note([ledger for ledger, _ in batch.health.values()])
        if batch.arrivals:
            self._wake()

    def _add(self, message: Message, batch: _Batch) -> None:
        try:
            record = read(message, self._topics, self._keys)
            if isinstance(record, Birth):
                batch.births.append(record)
                return
            if isinstance(record, Ledger):
                batch.health[record.node] = record, len(batch.arrivals)
                return
            receipt = self._receivers.record(record.node, record.packet)
        except RejectError as fault:
            batch.rejects[str(fault)] += 1
        except PacketError as fault:
            batch.rejects[fault.reason] += 1
        else:
            self._note_answer(record.node, message.answer_bytes)
            batch.touched.add((record.node, record.packet.boot))
            if receipt.new:
                batch.arrivals.append(replace(record, drops=receipt.dropped))
            else:
                batch.duplicates += 1

    def _note_answer(self, node: str, most_bytes: int | None) -> None:
        """Note what the way that a node's packets last took has room for."""
        if most_bytes is None:
            self._answer_bytes.pop(node, None)
        elif len(self._answer_bytes) < MAX_NODES or node in self._answer_bytes:
            self._answer_bytes[node] = most_bytes

    def _fit(self, node: str, ack: Ack) -> Ack:
        most_bytes = self._answer_bytes.get(node)
        return ack if most_bytes is None else shorten(ack, most_bytes - self._keys.tag_bytes(node))

    def _turn_away(self, messages: list[Message]) -> None:
        """Note nothing of them but births, which come only once; tell their nodes to wait."""
        touched: set[NodeBoot] = set()
        for message in messages:
            try:
                record = read(message, self._topics, self._keys)
            except RejectError:
                continue
            if isinstance(record, Arrival):
                self._note_answer(record.node, message.answer_bytes)
                touched.add((record.node, record.packet.boot))
            elif isinstance(record, Birth) and (
                len(self._births) < MAX_NODES or record.node in self._births
            ):
                self._births[record.node] = record
        self._metrics.add("turned_away", len(messages))
        self._acknowledge(touched, 0)

    def _window(self, nodes: int) -> int:
        return window(self._inlet.room, nodes, self._store.backlog, self._max_backlog)

    def _acknowledge(self, boots: Iterable[NodeBoot], size: int) -> None:
        try:
            acks = self._receivers.acknowledge(boots, size)
        except StoreError as fault:
            self._condition.failed(fault)
            return
        for node, ack in acks:
            fitting = pack(self._fit(node, ack))
            signed = self._keys.sign(node, Purpose.ACK, fitting)
            self._publish(self._topics.of(node, "ack"), signed)
        if size == 0:
            room = MAX_NODES - len(self._told_to_wait)
            self._told_to_wait |= set(sorted(boots)[: max(0, room)])

    def _note_unknown(self, waiting: Counter[int]) -> None:
        self._metrics.add("waiting", waiting.total())
        for wire in sorted(set(waiting) - self._unknown)[: MAX_BUNDLES_NAMED - len(self._unknown)]:
            remedy = "its frames are stored and wait: add its path to [bundles] and restart"
            self._log.warning("bundle_unknown", bundle=f"{wire:04x}", remedy=remedy)
            self._unknown.add(wire)

    def _count(self, batch: _Batch) -> None:
        self._metrics.add("packets", len(batch.arrivals))
        self._metrics.add("duplicates", batch.duplicates)
        for reason, count in batch.rejects.items():
            self._metrics.add(f"rejected.{reason}", count)
        for birth in batch.births:
            if self._booted.get(birth.node) != birth.boot and len(self._booted) < MAX_NODES:
                self._booted[birth.node] = birth.boot
                self._log.info("birth", node=birth.node, boot=birth.boot)
