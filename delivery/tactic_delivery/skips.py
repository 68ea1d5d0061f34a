"""Frames that were never coded, gathered so that few DROP packets tell of many."""

from __future__ import annotations

from collections import Counter

from tactic_codec.drop import Reason
from tactic_delivery.budgets import S

#: so long a skipped frame may be missing from the ledger and from what the gateway is told
REPORT_NS = 600 * S
MOST_FRAMES = 1024


class Skips:
    """Skipped frames that are in no ledger yet; a killed process forgets them."""

    def __init__(self) -> None:
        self._counts: Counter[Reason] = Counter()
        self._since_ns = 0

    def note(self, reason: Reason, now_ns: int, frames: int = 1) -> None:
        """Count frames."""
        if not self._counts:
            self._since_ns = now_ns
        if frames:
            self._counts[reason] += frames

    def due(self, now_ns: int) -> list[tuple[Reason, int]]:
        """What is to be booked now; often nothing."""
        waits = now_ns - self._since_ns < REPORT_NS and self._counts.total() < MOST_FRAMES
        return [] if waits else self.take()

    def take(self) -> list[tuple[Reason, int]]:
        """Everything that is not booked yet."""
        found = sorted(self._counts.items())
        self._counts.clear()
        return found
