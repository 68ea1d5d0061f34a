"""Messages of one end that wait for their turn on the channel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tactic_link.channel import Channel, Transit
from tactic_link.events import Alarm, Timeline
from tactic_link.preset import Way

Sent = Callable[[Transit], None]


class Outlet:
    """First come, first sent; several outlets may wait for one channel.

    Parameters
    ----------
    channel : Channel
    way : Way
    events : Timeline
    """

    def __init__(self, channel: Channel, way: Way, events: Timeline) -> None:
        self._channel = channel
        self._way = way
        self._events = events
        self._queue: deque[tuple[int, Sent]] = deque()
        self._turn = Alarm(events, self._on_turn)
        self._turn_ns = 0

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
            self._pump(self._events.now_ns)

    def clear(self) -> None:
        """Let go what waits."""
        self._queue.clear()
        self._turn.set(None)

    def _on_turn(self) -> None:
        # A real clock rings late. What was to begin then began then, or the link would be slower.
        self._pump(self._turn_ns)

    def _pump(self, now_ns: int) -> None:
        if not self._queue:
            return
        size_bytes, sent = self._queue[0]
        ready_ns = self._channel.ready_ns(self._way, size_bytes, now_ns)
        if ready_ns is not None and ready_ns <= now_ns:
            self._queue.popleft()
            transit = self._channel.transmit(self._way, size_bytes, now_ns)
            self._wait(transit.end_ns)
            sent(transit)
        elif ready_ns is None:
            self._turn.set(None)
        else:
            self._wait(ready_ns)

    def _wait(self, until_ns: int) -> None:
        self._turn_ns = until_ns
        self._turn.set(until_ns)
