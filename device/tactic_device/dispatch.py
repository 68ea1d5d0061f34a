"""Outbox and sender as one thing that the capturing and the sending thread may share."""

from __future__ import annotations

import threading
from random import Random

from tactic_codec.packet import Packet
from tactic_delivery.ack import Ack
from tactic_delivery.entry import Entry
from tactic_delivery.pending import Drop
from tactic_delivery.sender import Limits, Sender
from tactic_device.outbox import Admission, Outbox


class Dispatch:
    """Keeps, sends and forgets packets; every change is durable before it takes effect.

    Parameters
    ----------
    outbox : Outbox
        What it still holds of earlier boots becomes the backlog.
    rng : random.Random
        Jitter of retransmissions.
    limits : Limits
    """

    def __init__(self, outbox: Outbox, rng: Random, limits: Limits | None = None) -> None:
        self._outbox = outbox
        self._sender = Sender(outbox.boot, rng, limits)
        self._lock = threading.Lock()
        for entry in outbox.pending.entries.values():
            self._sender.add(entry)

    @property
    def boot(self) -> int:
        """The running boot, uint32."""
        return self._outbox.boot

    @property
    def waiting(self) -> int:
        """Packets without an acknowledgement."""
        with self._lock:
            return len(self._sender)

    def put(self, packet: Packet, now_ns: int) -> Admission:
        """Keep a packet; see `Outbox.put`."""
        with self._lock:
            admission = self._outbox.put(packet, now_ns)
            self._follow(admission.drops)
            if admission.entry.key in self._outbox.pending.entries:
                self._sender.add(admission.entry)
            return admission

    def on_ack(self, ack: Ack, now_ns: int) -> int:
        """Forget what the gateway has; return the number of frames among it.

        Raises
        ------
        AckError
            The acknowledgement cannot be true.
        """
        with self._lock:
            settled = self._sender.on_ack(ack, now_ns)
            return sum(self._outbox.settle(ack.boot, r) for r in settled)

    def on_connection(self, up: bool) -> None:
        """See `Sender.on_connection`."""
        with self._lock:
            self._sender.on_connection(up)

    def on_gateway(self, present: bool) -> None:
        """See `Sender.on_gateway`."""
        with self._lock:
            self._sender.on_gateway(present)

    def poll(self, now_ns: int) -> tuple[list[bytes], int | None]:
        """Return the packets to send now, and when to ask again."""
        with self._lock:
            poll = self._sender.poll(now_ns)
            packets = []
            for key in poll.send:
                data = self._outbox.read(key)
                if data is None:
                    self._follow(tuple(self._outbox.give_up(key)))
                else:
                    packets.append(data)
            return packets, poll.wake_ns

    def sync_if_due(self, now_ns: int) -> None:
        """See `Outbox.sync_if_due`."""
        with self._lock:
            self._outbox.sync_if_due(now_ns)

    def figures(self) -> dict[str, object]:
        """Counters for health and log."""
        with self._lock:
            return {
                "ledger": self._outbox.pending.ledger.as_dict(),
                "outbox_bytes": self._outbox.size_bytes,
                "outbox_packets": len(self._sender),
                "sent_again": self._sender.sent_again,
            }

    def _follow(self, drops: tuple[Drop, ...]) -> None:
        for decision in drops:
            self._sender.forget(decision.removed)
            self._sender.add(Entry.of(decision.packet))
