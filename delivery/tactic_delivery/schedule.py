"""Contacts that are known beforehand, as far as a node has to know them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from tactic_delivery.budgets import S


class Contact(NamedTuple):
    """A time in which the link works.

    Attributes
    ----------
    start_ns, end_ns : int
        On the clock of the node's other times; the end is outside.
    rate_bps : float
        Bits a second towards the gateway.
    """

    start_ns: int
    end_ns: int
    rate_bps: float


class Schedule:
    """What contacts can carry.

    Parameters
    ----------
    contacts : sequence of Contact
        In any order; they do not overlap.

    Raises
    ------
    ValueError
        They overlap, or one is empty.
    """

    def __init__(self, contacts: Sequence[Contact]) -> None:
        self._contacts = sorted(contacts)
        self._ends = [contact.end_ns for contact in self._contacts]
        before_ns = None
        for start_ns, end_ns, _ in self._contacts:
            if start_ns >= end_ns or (before_ns is not None and start_ns < before_ns):
                raise ValueError(f"contact from {start_ns / S:g} s is empty or overlaps another")
            before_ns = end_ns

    @property
    def end_ns(self) -> int:
        """From here on nothing is known."""
        return self._ends[-1] if self._ends else 0

    def capacity_bytes(self, now_ns: int, until_ns: int) -> float:
        """Bytes that can be sent between two moments."""
        total = 0.0
        for contact in self._contacts[bisect_right(self._ends, now_ns) :]:
            if contact.start_ns >= until_ns:
                break
            seconds = (min(contact.end_ns, until_ns) - max(contact.start_ns, now_ns)) / S
            total += seconds * contact.rate_bps / 8
        return total
