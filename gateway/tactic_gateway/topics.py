"""The topics of one site and who may speak on them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NODE = re.compile(r"[a-z0-9-][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names below ``{root}/{site}``."""

    root: str
    site: str

    @property
    def frames(self) -> str:
        """Subscription to the packets of every node."""
        return self.of("+", "f")

    @property
    def births(self) -> str:
        """Subscription to the birth messages of every node."""
        return self.of("+", "birth")

    @property
    def healths(self) -> str:
        """Subscription to the health messages of every node."""
        return self.of("+", "health")

    @property
    def presence(self) -> str:
        """Where the gateway says whether it is there."""
        return self.of("_gateway", "state")

    @property
    def health(self) -> str:
        """Where the gateway publishes its counters."""
        return self.of("_gateway", "health")

    def of(self, node: str, *path: str) -> str:
        """Topic of a node, for example ``of("cam1", "ack")``."""
        return "/".join((self.root, self.site, node, *path))

    def parse(self, topic: str) -> tuple[str, str] | None:
        """Node and kind (``f``, ``birth``, ``health``) of a topic; None if either is invalid."""
        prefix = f"{self.root}/{self.site}/"
        node, _, kind = topic.removeprefix(prefix).partition("/")
        if not topic.startswith(prefix) or not _NODE.fullmatch(node):
            return None
        return node, kind
