"""How many packets may be on their way: never so many that a thin link fills with copies."""

from __future__ import annotations

# A round trip beside backlog may take so many times as long as usual, and so much longer: a packet
# that comes while the gateway commits those before it waits for the next commit, which is no queue
# (RFC 6817 allows a target of up to 100 ms).
_USUAL_TIMES = 1.4
_USUAL_PLUS_NS = 50_000_000
_EASE = 0.7
_MOST_PATIENCE = 16.0


class Window:
    """Grows with acknowledgements, halves with time-outs, as TCP's congestion window does.

    Parameters
    ----------
    first, most : int
        Packets allowed at the start, and at the most.
    least : int
        Losses bring it no lower, except at the start.
    """

    def __init__(self, first: int, most: int, least: int = 1) -> None:
        self._first = first
        self._most = most
        self._least = float(least)
        self._allowed = float(first)
        self._slow_above = float(most)

    @property
    def packets(self) -> int:
        """Packets allowed on their way."""
        return int(self._allowed)

    def restart(self) -> None:
        """Begin small again: the path may be another one."""
        self._allowed = float(self._first)

    def grow(self, settled: int) -> None:
        """Take note of packets that were acknowledged."""
        gain = settled if self._allowed < self._slow_above else settled / self._allowed
        self._allowed = min(self._allowed + gain, self._most)

    def halve(self) -> None:
        """Take note of a loss."""
        self._slow_above = max(self._least, self._allowed / 2)
        self._allowed = min(self._allowed, self._slow_above)


class Pace:
    """How much of that backlog may take, so that live packets do not queue up behind it.

    Backlog may fill a link, and the queues before it, at no loss; a live packet then waits behind
    it. So the backlog's share of the window grows only while round trips stay close to what they
    are without backlog (the idea of LEDBAT, RFC 6817).

    Parameters
    ----------
    first, most : int
        Packets of backlog allowed at the start, and at the most.
    least : int
        Packets of backlog that are always allowed.
    """

    def __init__(self, first: int, most: int, least: int = 1) -> None:
        self._first = max(first, least)
        self._most = most
        self._least = float(least)
        self._usual_ns = 0.0
        self._allowed = float(self._first)
        self._doubling = True
        self._patience = 1.0
        self._eased_until_ns = 0

    @property
    def packets(self) -> int:
        """Packets of backlog allowed on their way."""
        return int(self._allowed)

    def restart(self) -> None:
        """Begin small again; what is usual stays."""
        self._allowed = float(self._first)
        self._doubling = True

    def sample(self, round_trip_ns: int, alone: bool, settled: int, now_ns: int) -> None:
        """Learn from a round trip.

        Parameters
        ----------
        round_trip_ns : int
            Of a packet that was sent once.
        alone : bool
            Nothing was on its way when it was sent: this is how long the path itself takes.
        settled : int
            Packets of backlog acknowledged with it.
        now_ns : int
        """
        if alone or not self._usual_ns:
            change_ns = round_trip_ns - self._usual_ns
            self._usual_ns += change_ns / 8 if self._usual_ns else change_ns
        most_ns = _USUAL_TIMES * self._usual_ns + _USUAL_PLUS_NS
        if round_trip_ns <= most_ns:
            slowly = self._allowed if self.packets > 1 else self._patience
            gain = 1.0 if self._doubling else (1.0 - round_trip_ns / most_ns) / slowly
            self._allowed = min(self._allowed + gain * settled, self._most)
        elif now_ns >= self._eased_until_ns:
            # All that is measured within this round trip tells of the same queue.
            self._eased_until_ns = now_ns + round_trip_ns
            # Where two packets are too many, that is tried ever more rarely.
            self._patience = min(2 * self._patience, _MOST_PATIENCE) if self.packets <= 2 else 1.0
            self._allowed = max(self._least, self._allowed * _EASE)
            self._doubling = False
