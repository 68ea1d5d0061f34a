"""``tactic link bridge``: the ground bridge as a daemon, until SIGTERM or SIGINT."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from tactic_codec.stopping import stopped_by_signals
from tactic_delivery.datagrams import POLL
from tactic_link.bridge import Bridge, is_online
from tactic_link.bridge_broker import Broker
from tactic_link.bridge_config import BridgeConfig, Source, load
from tactic_link.bridge_port import Port
from tactic_link.log import Log

S = 1_000_000_000
_LONGEST_WAIT_S = 0.5
_GOODBYE_S = 2.0
_MOST_WAITING = 4096
_MOST_NAMED = 64


def main(config_path: Path) -> int:
    """Run the bridge until SIGTERM or SIGINT; return its exit code.

    Raises
    ------
    TacticError
        Its message is one line for the operator, its ``exit_code`` the command's.
    """
    with stopped_by_signals() as stop:
        Daemon(load(config_path), Log()).run(stop)
    return 0


class Daemon:
    """Port, bridge and broker, put together.

    One thread does everything but MQTT's own work; that one only puts what it hears into a queue.

    Parameters
    ----------
    config : BridgeConfig
    log : Log

    Attributes
    ----------
    port : Port

    Raises
    ------
    ConfigError
        A password or a certificate cannot be read.
    LinkError
        Nothing can listen at ``bridge.listen``.
    """

    def __init__(self, config: BridgeConfig, log: Log) -> None:
        self._log = log
        self._report_ns = int(config.bridge.report_s * S)
        self._prefix = f"{config.mqtt.root}/{config.bridge.site}/"
        nodes = {each.node: each.mtu_bytes for each in config.nodes}
        self._bridge = Bridge(config.assembly.caps, nodes)
        self._heard: queue.Queue[tuple[str, bytes]] = queue.Queue(_MOST_WAITING)
        self._counts: Counter[str] = Counter()
        self._at: dict[str, Source] = {}
        self._strangers: set[str] = set()
        topics = [self._of(node, name) for node in nodes for name in ("ack", "birth")]
        topics.append(self._of("_gateway", "state"))
        # Two bridges with one client id would throw each other out for ever.
        name = f"tactic-bridge-{config.bridge.site}-{secrets.token_hex(4)}"
        self._broker = Broker(config.mqtt, name, topics, self._on_message, log)
        self.port = Port(config.bridge.listen, config.nodes)

    def run(self, stop: threading.Event) -> None:
        """Carry datagrams and messages until told to stop."""
        reported, report_ns = self._figures(), time.monotonic_ns() + self._report_ns
        with closing(self.port):
            self._broker.start()
            self._log.info("bridge_ready", listen=self.port.address, nodes=self._bridge.names)
            try:
                while not stop.is_set():
                    self.step()
                    if time.monotonic_ns() >= report_ns:
                        report_ns = time.monotonic_ns() + self._report_ns
                        if (figures := self._figures()) != reported:
                            reported = figures
                            self._log.info("bridge_counters", **figures)
            finally:
                self._broker.stop(_GOODBYE_S)
                self._log.info("bridge_stopped", **self._figures())

    def step(self) -> None:
        """One round: what came from the nodes, from the broker, and what is overdue."""
        for node, source, datagram in self.port.take(self._wait_s()):
            if node is None:
                self._refuse(source)
            else:
                self._on_datagram(node, source, datagram)
        self._hear()
        self._broker.tend()
        if not self._broker.connected:
            self._on_presence(False)
        for node, packet in self._bridge.give_up(time.monotonic_ns()):
            self._publish(node, packet)

    def _wait_s(self) -> float:
        wake_ns = self._bridge.wake_ns()
        if wake_ns is None:
            return _LONGEST_WAIT_S
        return min(_LONGEST_WAIT_S, max(0.0, (wake_ns - time.monotonic_ns()) / S))

    def _on_datagram(self, node: str, source: Source, datagram: bytes) -> None:
        if self._at.get(node) != source:
            self._at[node] = source
            self._log.info("node_heard", node=node, address=str(source))
        if datagram == POLL:
            # What is on its way from the broker is the better answer.
            self._counts["polls"] += 1
            self._hear()
            self._answer_again(node)
            return
        for packet in self._bridge.take(node, datagram, time.monotonic_ns()):
            self._publish(node, packet)

    def _publish(self, node: str, packet: bytes) -> None:
        if birth := self._bridge.birth(node, packet):
            fault = self._broker.publish(self._of(node, "birth"), birth, retain=True)
            if not fault:
                self._bridge.announced(node, birth)
        answer_bytes = self._bridge.answer_bytes(node)
        if fault := self._broker.publish(self._of(node, "f"), packet, answer_bytes=answer_bytes):
            self._counts[fault] += 1
            if fault == "oversized" and self._counts[fault] == 1:
                remedy = "its node sends it in vain: raise the broker's limit of message size"
                self._log.warning("oversized", node=node, bytes=len(packet), remedy=remedy)

    def _on_message(self, topic: str, payload: bytes) -> None:
        """Called in the network's thread."""
        try:
            self._heard.put_nowait((topic, payload))
        except queue.Full:
            self._counts["overflow"] += 1
        self.port.wake()

    def _hear(self) -> None:
        while True:
            try:
                topic, payload = self._heard.get_nowait()
            except queue.Empty:
                return
            node, _, name = topic.removeprefix(self._prefix).partition("/")
            if node == "_gateway":
                self._on_presence(is_online(payload))
            elif name == "birth":
                self._bridge.announced(node, payload)
            elif answer := self._bridge.answer(node, payload):
                self._send(node, answer)
            else:
                self._warn_of_length(node, len(payload))

    def _on_presence(self, online: bool) -> None:
        if online is self._bridge.online:
            return
        self._bridge.online = online
        self._log.info("gateway_online" if online else "gateway_offline")
        # Who asks into silence does so rarely: this tells them that it has ended.
        for node in self._bridge.names:
            self._answer_again(node)

    def _answer_again(self, node: str) -> None:
        if answer := self._bridge.again(node):
            self._send(node, answer)

    def _send(self, node: str, datagram: bytes) -> None:
        sent = self.port.send(node, datagram)
        self._counts["datagrams_down" if sent else "datagrams_unsent"] += 1

    def _refuse(self, source: Source) -> None:
        self._counts["strangers"] += 1
        if source.address not in self._strangers and len(self._strangers) < _MOST_NAMED:
            self._strangers.add(source.address)
            remedy = "its datagrams are let go; name it in [[nodes]]"
            self._log.warning("stranger", address=str(source), remedy=remedy)

    def _warn_of_length(self, node: str, size_bytes: int) -> None:
        if self._bridge.counts["acks_too_long"] == 1:
            remedy = "32 bytes at least if sealed, and a broker with MQTT 5: see docs/datagrams.md"
            self._log.warning("ack_too_long", node=node, bytes=size_bytes, remedy=remedy)

    def _figures(self) -> dict[str, int]:
        return self._bridge.figures() | dict(sorted(self._counts.items()))

    def _of(self, node: str, name: str) -> str:
        return f"{self._prefix}{node}/{name}"
