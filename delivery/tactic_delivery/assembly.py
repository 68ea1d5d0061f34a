"""Datagrams back to packets at the ground, within limits; of a frame any beginning is of use.

What belongs to one packet is found by its tag, wherever it arrives in the order. A packet of
which no more comes is given up; if it is a frame and its beginning is there, that beginning
becomes a packet of its own: the same numbers, a shorter stream, a new check.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from tactic_codec.errors import PacketError
from tactic_codec.packet import HEADER_BYTES, Kind, unpack
from tactic_codec.rans_twin import STATE_BYTES
from tactic_delivery import datagrams
from tactic_delivery.datagrams import Fragment
from tactic_delivery.ranges import RangeSet

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Caps:
    """Hard caps of one node's assembly.

    Attributes
    ----------
    packets : int
        Unfinished packets at a time.
    bytes : int
        Bytes of them together.
    patience_ns : int
        A packet of which nothing came for so long is given up.
    beginnings : bool
        Whether the beginning of a frame is passed on; without it the frame has to be sent again.
    """

    packets: int = 16
    bytes: int = 1 << 21
    patience_ns: int = 60 * _SECOND_NS
    beginnings: bool = True


@dataclass(slots=True)
class _Unfinished:
    touched_ns: int
    data: bytearray = field(default_factory=bytearray)
    there: RangeSet = field(default_factory=RangeSet)
    end: int | None = None

    def put(self, fragment: Fragment) -> None:
        if fragment.offset == 0 and self._is_another(fragment):
            self.data, self.there, self.end = bytearray(), RangeSet(), None
        if len(self.data) < fragment.stop:
            self.data.extend(bytes(fragment.stop - len(self.data)))
        self.data[fragment.offset : fragment.stop] = fragment.data
        self.there.add(fragment.offset, len(fragment.data))
        if fragment.last:
            self.end = fragment.stop

    @property
    def is_there(self) -> bool:
        return self.end is not None and self.there.cumulative >= self.end

    @property
    def beginning(self) -> bytes:
        """Its bytes up to the first gap."""
        return bytes(self.data[: self.there.cumulative])

    def _is_another(self, fragment: Fragment) -> bool:
        """Whether two packets share the tag: what came of the former is of no use."""
        known = min(self.there.cumulative, HEADER_BYTES)
        return bytes(self.data[:known]) != fragment.data[:known]


class Assembler:
    """Assembles the packets of one node.

    Parameters
    ----------
    caps : Caps

    Attributes
    ----------
    counts : Counter of str
        Datagrams refused, by reason (``short``, ``long``, ``version``); packets given up
        (``gone``), cut to their beginning (``cut``) and ``mixed`` with others of their tag.
    """

    def __init__(self, caps: Caps | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._caps = caps or Caps()
        self._unfinished: OrderedDict[int, _Unfinished] = OrderedDict()

    def __len__(self) -> int:
        """Unfinished packets."""
        return len(self._unfinished)

    @property
    def size_bytes(self) -> int:
        """Bytes held of unfinished packets."""
        return sum(len(packet.data) for packet in self._unfinished.values())

    def take(self, datagram: bytes, now_ns: int) -> list[bytes]:
        """Take a datagram; return the packets that it completes, or that give way to it."""
        try:
            fragment = datagrams.read(datagram)
        except PacketError as fault:
            self.counts[fault.reason] += 1
            return []
        if fragment is None:
            return []
        if fragment.offset == 0 and datagrams.is_whole(fragment.data):
            return [fragment.data]
        return self._put(fragment, now_ns)

    def give_up(self, now_ns: int) -> list[bytes]:
        """Give up what is overdue; return the frames of which the beginning is there."""
        found = []
        while self._unfinished:
            tag, oldest = next(iter(self._unfinished.items()))
            if now_ns < oldest.touched_ns + self._caps.patience_ns:
                break
            found += self._drop(tag)
        return found

    def wake_ns(self) -> int | None:
        """When `give_up` has something to do; None while everything is finished."""
        oldest = next(iter(self._unfinished.values()), None)
        return oldest.touched_ns + self._caps.patience_ns if oldest else None

    def _put(self, fragment: Fragment, now_ns: int) -> list[bytes]:
        unfinished = self._unfinished.setdefault(fragment.tag, _Unfinished(now_ns))
        unfinished.touched_ns = now_ns
        self._unfinished.move_to_end(fragment.tag)
        unfinished.put(fragment)
        if unfinished.is_there:
            return self._finish(fragment.tag)
        found: list[bytes] = []
        while len(self) > self._caps.packets or self.size_bytes > self._caps.bytes:
            found += self._drop(next(iter(self._unfinished)))
        return found

    def _finish(self, tag: int) -> list[bytes]:
        unfinished = self._unfinished.pop(tag)
        packet = bytes(unfinished.data[: unfinished.end])
        if datagrams.is_whole(packet):
            return [packet]
        self.counts["mixed"] += 1
        return []

    def _drop(self, tag: int) -> list[bytes]:
        unfinished = self._unfinished.pop(tag)
        beginning = usable(unfinished.beginning) if self._caps.beginnings else None
        self.counts["cut" if beginning else "gone"] += 1
        return [beginning] if beginning else []


def usable(beginning: bytes) -> bytes | None:
    """Make a packet of the beginning of one.

    Parameters
    ----------
    beginning : bytes
        Of a packet, from its first byte on.

    Returns
    -------
    bytes or None
        None unless it is a frame that is not sealed, with enough of its stream to decode.
    """
    whole_words = beginning[: len(beginning) - len(beginning) % 2]
    if len(whole_words) < HEADER_BYTES + STATE_BYTES:
        return None
    try:
        packet = unpack(cut := datagrams.with_check(whole_words))
    except PacketError:
        return None
    return cut if packet.kind is Kind.FRAME else None
