"""What a node may have on its way at most, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

from tactic_delivery.timeout import FIRST_NS, MOST_NS

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard caps on what may be on its way, the waiting times, and the share of live packets.

    ``first_credit`` packets are allowed before the first acknowledgement names a window. After
    ``probe_ns`` a closed window (0) is tried with one packet: the message that opens it again may
    be lost. When a gateway returns, sending begins at a moment drawn from the next
    ``start_within_ns``, so that not all its nodes begin at once. While live packets and backlog
    both wait, at least ``live_share`` of the bytes sent are live. Retransmission waits
    ``first_timeout_ns`` until a round trip was seen, and never longer than ``most_timeout_ns``.
    ``least_backlog`` packets of backlog may always be on their way: on a link so thin that one
    packet takes most of a round trip, waiting for each would leave it idle. Losses do not slow it
    down below ``least_window`` packets; for links that lose without being full. Of small packets,
    backlog or not, as many as begin within ``least_bytes`` may always be on their way.
    """

    window_packets: int = 64
    window_bytes: int = 262_144
    first_credit: int = 4
    probe_ns: int = 5 * _SECOND_NS
    start_within_ns: int = 0
    live_share: float = 0.75
    first_timeout_ns: int = FIRST_NS
    most_timeout_ns: int = MOST_NS
    least_backlog: int = 1
    least_window: int = 1
    least_bytes: int = 0
