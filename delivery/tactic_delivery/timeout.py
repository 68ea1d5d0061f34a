"""When to give up waiting for an acknowledgement: round trips measured as in RFC 6298."""

from __future__ import annotations

from random import Random

FIRST_NS = 3_000_000_000
LEAST_NS = 500_000_000
MOST_NS = 120_000_000_000
JITTER = 0.25
_MOST_DOUBLINGS = 8


class Timeout:
    """Retransmission time-out with exponential back-off and jitter.

    A packet's own attempts back off as well, so that one packet the gateway never acknowledges
    does not ride on the good round trips of the others.

    Parameters
    ----------
    rng : random.Random
    first_ns, most_ns : int
        Before a round trip was seen, and at the most.
    """

    def __init__(self, rng: Random, first_ns: int = FIRST_NS, most_ns: int = MOST_NS) -> None:
        self._rng = rng
        self._most_ns = most_ns
        self._smooth_ns = 0.0
        self._spread_ns = 0.0
        self._base_ns = first_ns
        self._doublings = 0
        self._backed_off_ns: int | None = None

    @property
    def measured(self) -> bool:
        """Whether a round trip has been seen yet."""
        return self._smooth_ns > 0.0

    def sample(self, round_trip_ns: int) -> None:
        """Learn from a packet that was sent once and acknowledged."""
        if not self.measured:
            self._smooth_ns, self._spread_ns = float(round_trip_ns), round_trip_ns / 2
        else:
            error_ns = round_trip_ns - self._smooth_ns
            self._spread_ns += (abs(error_ns) - self._spread_ns) / 4
            self._smooth_ns += error_ns / 8
        base_ns = int(self._smooth_ns + 4 * self._spread_ns)
        self._base_ns = min(self._most_ns, max(LEAST_NS, base_ns))
        self._doublings = 0

    def back_off(self, now_ns: int) -> bool:
        """Double the time-out; False if that was just done: a burst of losses is one event."""
        last_ns = self._backed_off_ns
        if last_ns is not None and now_ns < last_ns + self._capped_ns(self._doublings):
            return False
        self._backed_off_ns = now_ns
        self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)
        return True

    def wait_ns(self, attempt: int) -> int:
        """How long to wait after the ``attempt``-th sending (1, 2, …) of a packet."""
        waited_ns = self._capped_ns(max(self._doublings, min(attempt - 1, _MOST_DOUBLINGS)))
        return int(waited_ns * (1 + JITTER * self._rng.random()))

    def _capped_ns(self, doublings: int) -> int:
        return min(self._most_ns, self._base_ns << doublings)
