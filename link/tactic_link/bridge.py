"""The ground bridge: datagrams of nodes to packets on MQTT, acknowledgements back to datagrams.

No I/O and no clock: ``now_ns`` is any monotonic time, and the caller carries what comes out.
Normative text: ``docs/wire-format.md``, "Datagrams".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tactic_codec.errors import PacketError
from tactic_codec.packet import Packet, unpack
from tactic_delivery import ack as ack_message
from tactic_delivery.assembly import Assembler, Caps
from tactic_delivery.errors import AckError

_MOST_BIRTH_BYTES = 65_536


@dataclass(slots=True)
class _Node:
    assembler: Assembler
    mtu_bytes: int
    boot: int = -1
    answer: bytes | None = None


class Bridge:
    """State machine of one bridge.

    It holds unfinished packets within ``caps``, and the last acknowledgement of each node;
    nothing else, so one that is killed costs what was unfinished, which the nodes send again.

    Parameters
    ----------
    caps : Caps
        Of each node.
    nodes : mapping of str to int
        How many bytes a datagram to each node carries.

    Attributes
    ----------
    online : bool
        The gateway says that it takes packets.
    counts : Counter of str
    """

    def __init__(self, caps: Caps, nodes: Mapping[str, int]) -> None:
        self.online = False
        self.counts: Counter[str] = Counter()
        self._nodes = {name: _Node(Assembler(caps), most) for name, most in nodes.items()}

    @property
    def names(self) -> list[str]:
        """Of the nodes, in order."""
        return sorted(self._nodes)

    def take(self, node: str, datagram: bytes, now_ns: int) -> list[bytes]:
        """Take a datagram; return the packets that are to be published for the node."""
        self.counts["datagrams"] += 1
        return self._counted(self._nodes[node].assembler.take(datagram, now_ns))

    def give_up(self, now_ns: int) -> list[tuple[str, bytes]]:
        """Give up what is overdue; return the beginnings of frames among it, with their nodes."""
        return [
            (name, packet)
            for name, node in self._nodes.items()
            for packet in self._counted(node.assembler.give_up(now_ns))
        ]

    def wake_ns(self) -> int | None:
        """When `give_up` has something to do."""
        times = [node.assembler.wake_ns() for node in self._nodes.values()]
        return min((each for each in times if each is not None), default=None)

    def answer_bytes(self, node: str) -> int:
        """How long an acknowledgement to a node may be."""
        return self._nodes[node].mtu_bytes

    def answer(self, node: str, ack: bytes) -> bytes | None:
        """Make a datagram of an acknowledgement; None where it is too long for the link."""
        self.counts["acks"] += 1
        found = self._nodes[node]
        datagram = trim(ack, found.mtu_bytes)
        if len(datagram) > found.mtu_bytes:
            self.counts["acks_too_long"] += 1
            return None
        found.answer = datagram
        return datagram

    def again(self, node: str) -> bytes | None:
        """What to say to a node that asks: the last answer, while there is a gateway."""
        return self._nodes[node].answer if self.online else None

    def birth(self, node: str, packet: bytes) -> bytes | None:
        """What to announce before a packet: a run of the node that is later than those known.

        A sealed node's birth needs its key, which the bridge has not: None.
        """
        try:
            header = unpack(packet)
        except PacketError:  # of a kind that only the gateway counts
            return None
        if header.sealed or header.boot <= self._nodes[node].boot:
            return None
        return json.dumps(_birth(header)).encode()

    def announced(self, node: str, birth: bytes) -> None:
        """A birth was published, now or by an earlier bridge, or by the node itself over MQTT."""
        try:
            boot = json.loads(birth)["boot"] if len(birth) <= _MOST_BIRTH_BYTES else None
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if isinstance(boot, int):
            self._nodes[node].boot = max(self._nodes[node].boot, boot)

    def figures(self) -> dict[str, int]:
        """Counters since the start, and what is held now."""
        assemblers = [node.assembler for node in self._nodes.values()]
        counts = sum((each.counts for each in assemblers), Counter(self.counts))
        always = {"datagrams": 0, "packets": 0}
        unfinished = {"unfinished": sum(len(each) for each in assemblers)}
        return always | dict(sorted(counts.items())) | unfinished

    def _counted(self, packets: list[bytes]) -> list[bytes]:
        self.counts["packets"] += len(packets)
        return packets


def _birth(header: Packet) -> dict[str, object]:
    """What a header tells of the run. The time of its start is not in it."""
    return {
        "boot": header.boot,
        "wire_bundle": header.bundle,
        "capabilities": ["frame", "drop"],
        "clock": "unknown",
        "bearer": "datagrams",
    }


def is_online(state: bytes) -> bool:
    """Whether a message on the gateway's topic says that it takes packets."""
    try:
        return bool(json.loads(state)["state"] == "online")
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def trim(raw: bytes, most_bytes: int) -> bytes:
    """Take ranges off the end of an acknowledgement until it fits into a datagram.

    Parameters
    ----------
    raw : bytes
        An acknowledgement; a sealed one, which cannot be read, stays as it is.
    most_bytes : int
    """
    if len(raw) <= most_bytes:
        return raw
    try:
        ack = ack_message.unpack(raw)
    except AckError:
        return raw
    return ack_message.pack(ack_message.shorten(ack, most_bytes))
