"""Whether a gateway is at the other end of a link on which only acknowledgements speak.

Over MQTT the gateway says so. Here the node has to conclude it: the gateway is there while it
answers. Into silence go single packets, as questions, ever more rarely. No I/O and no clock:
``now_ns`` is any monotonic time. Normative text: ``docs/delivery.md``, "Without IP".
"""

from __future__ import annotations

from random import Random

#: silence that ends a presence, in first time-outs
SILENCE = 2
JITTER = 0.25
_MOST_DOUBLINGS = 16


class Presence:
    """State machine of one node.

    Parameters
    ----------
    rng : random.Random
        Jitter between questions, so that nodes of one ground station do not ask together.
    first_ns, most_ns : int
        Between two questions, at first and at the most.
    poll_ns : int
        An empty datagram asks for an answer that did not come for so long; 0: none.

    Attributes
    ----------
    here : bool
        The gateway answers.
    """

    def __init__(self, rng: Random, first_ns: int, most_ns: int, poll_ns: int = 0) -> None:
        self.here = False
        self._rng = rng
        self._first_ns = first_ns
        self._most_ns = most_ns
        self._poll_ns = poll_ns
        self._asked = 0
        self._ask_ns = 0
        self._sent_ns: int | None = None
        self._polled = 0
        self._next_poll_ns: int | None = None

    def sent(self, now_ns: int) -> None:
        """A packet went out: among others, or as the question whether anybody is there."""
        if self._sent_ns is None:
            self._sent_ns = now_ns
        if not self.here:
            self._wait(now_ns)
        if self._poll_ns:
            self._polled = 0
            self._next_poll_ns = now_ns + self._poll_ns

    def heard(self) -> bool:
        """An acknowledgement was believed; whether that is news."""
        news = not self.here
        self.here = True
        self._asked = 0
        self._sent_ns = self._next_poll_ns = None
        return news

    def falls_silent(self, now_ns: int) -> bool:
        """Whether the gateway has just stopped answering."""
        if not self.here or self._sent_ns is None:
            return False
        if now_ns < self._sent_ns + SILENCE * self._first_ns:
            return False
        self.here = False
        self._wait(now_ns)
        return True

    def may_ask(self, now_ns: int) -> bool:
        """Whether one packet may be sent although nobody may be there."""
        return not self.here and now_ns >= self._ask_ns

    def may_poll(self, now_ns: int) -> bool:
        """Whether an empty datagram may ask for an answer that did not come."""
        return self._next_poll_ns is not None and now_ns >= self._next_poll_ns

    def polled(self, now_ns: int) -> None:
        """It was sent, or has to wait: the next one comes after twice as long."""
        self._polled += 1
        self._next_poll_ns = now_ns + self._later_ns(self._poll_ns, self._polled)

    def wake_ns(self) -> int | None:
        """When something changes by itself; None: after the next event."""
        times = [self._next_poll_ns] if self._next_poll_ns is not None else []
        if self.here and self._sent_ns is not None:
            times.append(self._sent_ns + SILENCE * self._first_ns)
        if not self.here and self._asked:
            times.append(self._ask_ns)
        return min(times, default=None)

    def _wait(self, now_ns: int) -> None:
        self._ask_ns = now_ns + self._later_ns(self._first_ns, self._asked)
        self._asked += 1

    def _later_ns(self, first_ns: int, times: int) -> int:
        later_ns = min(self._most_ns, first_ns << min(times, _MOST_DOUBLINGS))
        return int(later_ns * (1 + JITTER * self._rng.random()))
