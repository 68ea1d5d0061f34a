"""What is wrong with the media, and when to try again. An operator is told of changes only."""

from __future__ import annotations

import errno
from typing import Literal

RETRY_NS = 5_000_000_000

What = Literal["write", "read", "delete"]

_REMEDIES = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free space",
    errno.EROFS: "remount it for writing",
}


class Troubles:
    """Faults of storage, by medium and by what failed there."""

    def __init__(self) -> None:
        self._causes: dict[tuple[str, What], str] = {}
        self._retry_ns: dict[tuple[str, What], int] = {}

    def note(self, medium: str, what: What, fault: OSError, now_ns: int) -> None:
        """Note a fault; the first cause stays until it is over."""
        remedy = _REMEDIES.get(fault.errno or 0, "check the disk")
        text = f"{what}: {fault.strerror or fault}; {remedy}"
        self._causes.setdefault((medium, what), text)
        self._retry_ns[medium, what] = now_ns + RETRY_NS

    def over(self, medium: str, what: What) -> None:
        """Note that it works again."""
        self._causes.pop((medium, what), None)

    def has(self, medium: str, what: What) -> bool:
        """Whether something fails there."""
        return (medium, what) in self._causes

    def waits(self, medium: str, what: What, now_ns: int) -> bool:
        """Whether it failed a short while ago, so that it is not to be tried yet."""
        return self.has(medium, what) and now_ns < self._retry_ns[medium, what]

    def is_due(self, medium: str, what: What, now_ns: int) -> bool:
        """Whether it failed and is to be tried again."""
        return self.has(medium, what) and now_ns >= self._retry_ns[medium, what]

    def outlive_reads(self, now_ns: int) -> None:
        """Forget what could not be read if nobody has asked for it lately."""
        for medium, what in list(self._causes):
            if what == "read" and now_ns >= self._retry_ns[medium, what] + 2 * RETRY_NS:
                self.over(medium, what)

    def texts(self) -> dict[str, str]:
        """One cause and remedy for each medium that fails."""
        found: dict[str, str] = {}
        for (medium, _), text in self._causes.items():
            found.setdefault(medium, text)
        return found
