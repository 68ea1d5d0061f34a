"""The node's topics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """``{root}/{site}/{node}/…`` and the gateway's presence."""

    root: str
    site: str
    node: str

    def of(self, name: str) -> str:
        """Topic of this node: ``state``, ``birth``, ``f``, ``ack`` or ``health``."""
        return f"{self.root}/{self.site}/{self.node}/{name}"

    @property
    def gateway(self) -> str:
        """Where the gateway says whether it is there."""
        return f"{self.root}/{self.site}/_gateway/state"
