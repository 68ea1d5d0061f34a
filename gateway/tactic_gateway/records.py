"""What goes into the store and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from tactic_codec.drop import DropRecord
from tactic_codec.packet import Packet
from tactic_codec.types import FrameKey
from tactic_gateway.results import Result


class Status(IntEnum):
    """Where a packet stands; see ``schema``."""

    NEW = 0
    CLAIMED = 1
    WAITING = 2
    DONE = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet that passed its check, with the drop records it carries."""

    node: str
    packet: Packet
    raw: bytes
    received_ns: int
    drops: tuple[DropRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Birth:
    """A node's announcement; ``booted_unix_ns`` is None while its clock is not synchronised."""

    node: str
    boot: int
    booted_unix_ns: int | None
    body: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """A node's account of its frames, as a health message tells it.

    Attributes
    ----------
    node : str
    boot : int
        uint32, the running boot; the account is over all boots of the outbox.
    received_ns : int
        Unix time.
    captured, stored, pending : int
    dropped : dict of str to int
        By reason.
    waiting : int or None
        Packets in the outbox, DROP packets included; None where it is not told.
    alarms : tuple of str
        What is wrong with the node.
    """

    node: str
    boot: int
    received_ns: int
    captured: int
    stored: int
    pending: int
    dropped: dict[str, int]
    waiting: int | None
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A frame to process.

    Attributes
    ----------
    id : int
        The store's number of the packet that opens the frame.
    key : FrameKey
    bundle : int
        uint16, the bundle that its packets name.
    priority : int
        0 … 3.
    received_ns : int
        Unix time at which its first packet arrived.
    booted_unix_ns : int or None
        Unix time at which its node was started, where known.
    raws : tuple of bytes
        Its packets as they came, first the one that opens it.
    """

    id: int
    key: FrameKey
    bundle: int
    priority: int
    received_ns: int
    booted_unix_ns: int | None
    raws: tuple[bytes, ...]

    @property
    def parts(self) -> int:
        """How many PARTs have come."""
        return len(self.raws) - 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: results, or the reason and detail of its failure.

    ``cut``: words of its stream have not come, or were not sent.
    """

    job: Job
    results: tuple[Result, ...] = ()
    failure: tuple[str, str] | None = None
    cut: bool = False
