"""What every source offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tactic_device.pictures import Shot


class Source(Protocol):
    """Pictures, one after the other.

    Attributes
    ----------
    restarts : int
        How often it was started again because it hung or failed.
    """

    restarts: int

    def shots(self) -> Iterator[Shot]:
        """Yield pictures until the source ends or the node is to stop.

        Raises
        ------
        SourceError
            It has gone away.
        """

    def close(self) -> None:
        """Release the camera or file; may be called twice."""
