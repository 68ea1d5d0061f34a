"""Messages of one end that wait for their turn on the channel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tactic_link.channel import Channel, Transit
from tactic_link.events import Alarm, Events
from tactic_link.preset import Way

Sent = Callable[[Transit], None]


class Outlet:
    """First come, first sent; several outlets may wait for one channel.

    Parameters
    ----------
    channel : Channel
    way : Way
    events : Events
    """

    def __init__(self, channel: Channel, way: Way, events: Events) -> None:
        self._channel = channel
        self._way = way
        self._events = events
        self._queue: deque[tuple[int, Sent]] = deque()
        self._turn = Alarm(events, self._pump)

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._queue)

    def put(self, size_bytes: int, sent: Sent, first: bool = False) -> None:
        """Have a message sent.

        Parameters
        ----------
        size_bytes : int
            Without the link's overhead.
        sent : callable (Transit)
            Called when the message begins.
        first : bool
            Before all that wait.
        """
        message = size_bytes, sent
        if first:
            self._queue.appendleft(message)
        else:
            self._queue.append(message)
        if len(self._queue) == 1 or first:
            self._pump()

    def clear(self) -> None:
        """Let go what waits."""
        self._queue.clear()
        self._turn.set(None)

    def _pump(self) -> None:
        if not self._queue:
            return
        now_ns = self._events.now_ns
        size_bytes, sent = self._queue[0]
        ready_ns = self._channel.ready_ns(self._way, size_bytes, now_ns)
        if ready_ns is not None and ready_ns <= now_ns:
            self._queue.popleft()
            transit = self._channel.transmit(self._way, size_bytes, now_ns)
            self._turn.set(transit.end_ns)
            sent(transit)
        else:
            self._turn.set(ready_ns)
