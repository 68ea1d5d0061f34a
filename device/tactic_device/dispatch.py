"""Outbox and sender as one thing that the capturing and the sending thread may share."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from tactic_codec.drop import Reason
from tactic_codec.packet import Kind, Packet
from tactic_delivery.ack import Ack
from tactic_delivery.allowance import Allowance
from tactic_delivery.drops import Drop
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.limits import Limits
from tactic_delivery.sender import Sender
from tactic_device.outbox import Admission, Outbox
from tactic_device.trouble import RETRY_NS

_S = 1_000_000_000


class Outgoing(NamedTuple):
    """A packet to send: its bytes, and after how many seconds nobody wants it (None: never)."""

    data: bytes
    expires_s: int | None


class Dispatch:
    """Keeps, sends and forgets packets; every change is durable before it takes effect.

    Parameters
    ----------
    outbox : Outbox
        What it still holds of earlier boots becomes the backlog.
    rng : random.Random
        Jitter of retransmissions.
    limits : Limits
    allowance : Allowance or None
        See `Sender`.
    """

    def __init__(
        self,
        outbox: Outbox,
        rng: Random,
        limits: Limits | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._outbox = outbox
        self._allowance = allowance
        self._sender = Sender(outbox.boot, rng, limits, allowance)
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

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the packets without an acknowledgement."""
        with self._lock:
            return self._outbox.pending.size_bytes

    def skip(self, reason: Reason, frames: int) -> None:
        """See `Outbox.skip`."""
        with self._lock:
            self._follow(self._outbox.skip(reason, frames))

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

    def on_gateway(self, present: bool, now_ns: int) -> None:
        """See `Sender.on_gateway`."""
        with self._lock:
            self._sender.on_gateway(present, now_ns)

    def poll(
        self, now_ns: int, largest_bytes: int | None = None
    ) -> tuple[list[Outgoing], int | None]:
        """Return the packets to send now, and when to ask again.

        Parameters
        ----------
        now_ns : int
        largest_bytes : int or None
            What the broker takes; a larger frame is given up.
        """
        with self._lock:
            poll = self._sender.poll(now_ns)
            fetched = [self._fetch(key, now_ns, largest_bytes) for key in poll.send]
            packets = [packet for packet in fetched if packet]
            return packets, now_ns if len(packets) < len(fetched) else poll.wake_ns

    def spend(self, size_bytes: int, now_ns: int) -> bool:
        """Book what is sent beside the packets; False where the budgets do not allow it now."""
        with self._lock:
            if self._allowance is None:
                return True
            if self._allowance.earliest_ns(now_ns, size_bytes, alarm=False) != now_ns:
                return False
            self._allowance.take(now_ns, size_bytes)
            return True

    def tend(self, now_ns: int) -> None:
        """See `Outbox.tend`."""
        with self._lock:
            self._follow(self._outbox.tend(now_ns))

    def troubles(self) -> dict[str, str]:
        """See `Outbox.troubles`."""
        with self._lock:
            return self._outbox.troubles

    def dropped(self) -> dict[Reason, int]:
        """Frames given up so far, by reason."""
        with self._lock:
            return dict(self._outbox.pending.ledger.dropped)

    def figures(self) -> dict[str, object]:
        """Counters for health and log."""
        with self._lock:
            return {
                "ledger": self._outbox.pending.ledger.as_dict(),
                "outbox_bytes": self._outbox.size_bytes,
                "outbox_memory_bytes": self._outbox.memory_bytes,
                "storage": self._outbox.troubles,
                "outbox_packets": len(self._sender),
                "sent_again": self._sender.sent_again,
            }

    def _fetch(self, key: PacketKey, now_ns: int, largest_bytes: int | None) -> Outgoing | None:
        entry = self._outbox.pending.entries.get(key)
        if entry is None:
            return None  # a DROP packet that another one has replaced just now
        if largest_bytes is not None and entry.size_bytes > largest_bytes:
            if entry.kind is Kind.DROP:
                self._sender.forget([key])  # it accounts for others, and waits for the next run
            else:
                self._follow(self._outbox.give_up(key, Reason.OVERSIZED))
            return None
        try:
            data = self._outbox.read(key)
        except OSError:
            self._sender.put_back(key, now_ns + RETRY_NS)
            return None
        if data is None:
            self._follow(self._outbox.give_up(key))
            return None
        if entry.expires_ns is None:
            return Outgoing(data, None)
        return Outgoing(data, max(1, -(-(entry.expires_ns - now_ns) // _S)))

    def _follow(self, drops: Iterable[Drop]) -> None:
        for decision in drops:
            self._sender.forget(decision.removed)
            self._sender.add(Entry.of(decision.packet))
