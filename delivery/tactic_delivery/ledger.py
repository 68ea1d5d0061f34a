"""The account of every frame: captured = stored + dropped + pending, at any instant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tactic_codec.drop import Reason


@dataclass(slots=True)
class Ledger:
    """Frames of one node over all its boots.

    Attributes
    ----------
    captured : int
        Frames that were put into the outbox.
    stored : int
        Frames the gateway acknowledged after its commit.
    dropped : Counter of Reason
        Frames given up, each for one reason.
    """

    captured: int = 0
    stored: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)

    @property
    def pending(self) -> int:
        """Frames that are neither stored nor dropped yet."""
        return self.captured - self.stored - self.dropped.total()

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        """Plain numbers for logs and health messages."""
        return {
            "captured": self.captured,
            "stored": self.stored,
            "dropped": {r.name.lower(): n for r, n in sorted(self.dropped.items()) if n},
            "pending": self.pending,
        }
