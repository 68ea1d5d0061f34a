"""What was left off the streams of recent frames, in memory, for a gateway that asks for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from tactic_codec import stream
from tactic_codec.packet import HEADER_BYTES, Kind, Packet

#: what an entry costs beside its bytes
_ENTRY_BYTES = 256
#: there is one refinement of a frame
_PART = 1


@dataclass(frozen=True, slots=True)
class _Rest:
    """Words that follow a frame's; ``packet`` holds its other facts. None: they were sent."""

    packet: Packet | None

    @property
    def size_bytes(self) -> int:
        return _ENTRY_BYTES + (len(self.packet.payload) if self.packet else 0)


class Ring:
    """Rests of streams, the oldest giving way; one thread cuts, any may take.

    Parameters
    ----------
    most_bytes : int
        Of all that is kept. Where a frame is larger, nothing of it is.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rests: OrderedDict[int, _Rest] = OrderedDict()
        self._size_bytes = 0
        self._in_hand: Packet | None = None
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Bytes in use."""
        return self._size_bytes

    def cut(self, packet: Packet, budget_bytes: int) -> Packet:
        """Leave off the end of a frame's stream; what was left off waits for `keep`.

        Parameters
        ----------
        packet : Packet
            With the whole stream.
        budget_bytes : int
            For header and payload.
        """
        payload = stream.cut(packet.payload, budget_bytes - HEADER_BYTES)
        rest = packet.payload[len(payload) :]
        self._in_hand = replace(packet, payload=rest) if rest else None
        return replace(packet, payload=payload)

    def keep(self, seq: int) -> None:
        """Keep what `cut` left off last, if anything: it is of the frame of this number."""
        rest, self._in_hand = self._in_hand, None
        if rest is None:
            return
        with self._lock:
            self._put(seq, _Rest(rest))

    def take(self, seq: int) -> Packet | None:
        """Make the PART that completes a frame; it is given once.

        Returns
        -------
        Packet or None
            Without its numbers; None: it was given before.

        Raises
        ------
        KeyError
            There is nothing of this frame: it was whole, or too long ago, or of another run.
        """
        with self._lock:
            rest = self._rests[seq].packet
            if rest is None:
                return None
            self._put(seq, _Rest(None))
        return replace(rest, kind=Kind.PART, captured=seq, geometry=_PART, priority=0)

    def _put(self, seq: int, rest: _Rest) -> None:
        former = self._rests.pop(seq, None)
        self._size_bytes += rest.size_bytes - (former.size_bytes if former else 0)
        self._rests[seq] = rest
        while self._size_bytes > self._most_bytes:
            _, oldest = self._rests.popitem(last=False)
            self._size_bytes -= oldest.size_bytes
