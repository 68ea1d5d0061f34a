"""The sending thread over a link without IP: packets cut into datagrams, to a modem's driver.

There is no presence and no state here, only packets one way and acknowledgements the other: what
`Presence` concludes from these is all that the node knows of the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tactic_codec.errors import PacketError
from tactic_codec.node_key import NodeKey
from tactic_delivery.datagrams import POLL, cut
from tactic_delivery.errors import AckError
from tactic_device.bearer import Bearer
from tactic_device.dispatch import Dispatch
from tactic_device.heart import UPLINK
from tactic_device.link_config import Datagram
from tactic_device.log import Log
from tactic_device.modem import Modem
from tactic_device.monitor import CONNECT_S, Monitor
from tactic_device.presence import Presence

S = 1_000_000_000
_LONGEST_WAIT_S = 1.0


class DatagramUplink(Bearer):
    """Runs between `start` and `stop`.

    Parameters
    ----------
    config : Datagram
    dispatch : Dispatch
        Its sender has ``config.limits``.
    key : NodeKey or None
        Believe only what the gateway said with it.
    log : Log
    clock_ns : callable
        Time since boot, nanoseconds.
    rng : random.Random
        Jitter of questions.
    monitor : Monitor or None
        Told that the thread works.
    start_within_ns : int
        That of the sender's limits.

    Raises
    ------
    ConfigError
        Nobody can listen at ``config.listen``.
    """

    def __init__(
        self,
        config: Datagram,
        dispatch: Dispatch,
        *,
        key: NodeKey | None = None,
        log: Log,
        clock_ns: Callable[[], int],
        rng: Random,
        monitor: Monitor | None = None,
        start_within_ns: int = 0,
    ) -> None:
        super().__init__(dispatch, key, log, monitor)
        self._config = config
        self._clock_ns = clock_ns
        self._start_within_ns = start_within_ns
        poll_ns = int(config.poll_s * S)
        self._presence = Presence(rng, config.first_ns, config.most_ns, poll_ns)
        self._modem = Modem(config.send_to, config.listen)
        self._down = False
        dispatch.on_connection(True)

    def wake(self) -> None:
        """Look at once whether there is something to send."""
        self._modem.wake()

    def announce(self) -> None:
        """Nothing: a birth message does not go over such a link."""

    def report(self) -> None:
        """Nothing: health does not go over such a link."""

    def _step(self) -> None:
        now_ns = self._clock_ns()
        if self._monitor:
            self._monitor.round(now_ns)
            if not self._modem.found:
                self._monitor.heart.beat(UPLINK, CONNECT_S)
        wake_ns = self._transmit(now_ns)
        self._dispatch.tend(now_ns)
        self._watch.look(now_ns)
        self._listen(wake_ns)

    def _close(self) -> None:
        self._modem.close()

    def _transmit(self, now_ns: int) -> int | None:
        presence = self._presence
        if presence.falls_silent(now_ns):
            self._dispatch.on_gateway(False, now_ns)
            self._log.info("gateway_offline")
        wake_ns = None
        if presence.here:
            packets, wake_ns = self._dispatch.poll(now_ns)
            for packet in packets:
                self._send_packet(packet.data, now_ns)
        elif presence.may_ask(now_ns):
            wake_ns = self._ask(now_ns)
        self._poll(now_ns)
        times = [each for each in (wake_ns, presence.wake_ns()) if each is not None]
        return min(times, default=None)

    def _ask(self, now_ns: int) -> int | None:
        """Send one packet into the silence: the sender has no credit for more."""
        # The sender draws a moment to begin at, which the question does not wait for.
        self._dispatch.on_gateway(True, now_ns - self._start_within_ns)
        packets, wake_ns = self._dispatch.poll(now_ns)
        self._dispatch.on_gateway(False, now_ns)
        for packet in packets:
            self._send_packet(packet.data, now_ns)
        # One that could not be read, or that a budget holds back, is tried again.
        return None if packets else wake_ns

    def _send_packet(self, packet: bytes, now_ns: int) -> None:
        self._presence.sent(now_ns)
        self.counts["sent_packets"] += 1
        all(self._send(datagram) for datagram in cut(packet, self._config.mtu_bytes))

    def _poll(self, now_ns: int) -> None:
        """Ask for an answer that did not come, where the budgets allow it."""
        if self._presence.may_poll(now_ns):
            self._presence.polled(now_ns)
            if self._dispatch.spend(len(POLL), now_ns):
                self._send(POLL)

    def _send(self, datagram: bytes) -> bool:
        try:
            self._modem.send(datagram)
        except OSError as fault:
            self._on_fault(fault)
            return False
        self.counts["sent_datagrams"] += 1
        self.counts["sent_bytes"] += len(datagram)
        return True

    def _listen(self, wake_ns: int | None) -> None:
        wait_s = _LONGEST_WAIT_S
        if wake_ns is not None:
            wait_s = min(wait_s, max(0.0, (wake_ns - self._clock_ns()) / S))
        try:
            messages = self._modem.take(wait_s)
        except OSError as fault:
            self._on_fault(fault)
            return
        for message in messages:
            self._on_message(message, self._clock_ns())

    def _on_message(self, message: bytes, now_ns: int) -> None:
        if self._down:
            self._down = False
            self._log.info("modem_up", modem=str(self._config.send_to))
        try:
            self._take_ack(message, now_ns)
        except (AckError, PacketError) as fault:
            self._refuse_ack(fault)
            return
        if self._presence.heard():
            self._dispatch.on_gateway(True, now_ns)
            self._log.info("gateway_online")

    def _on_fault(self, fault: OSError) -> None:
        """The driver is away: what was to be sent counts as lost on the link."""
        self.counts["datagrams_unsent"] += 1
        if not self._down:
            self._down = True
            remedy = "frames wait in the outbox; check [datagram] and the modem's driver"
            place, cause = str(self._config.send_to), fault.strerror or str(fault)
            self._log.warning("modem_down", modem=place, cause=cause, remedy=remedy)
