"""Commands that the gateway gives its nodes by itself: made, signed, sent."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from pydantic import BaseModel

from tactic_codec.node_key import Purpose
from tactic_delivery import command
from tactic_delivery.command import Command
from tactic_gateway.keys import Keys
from tactic_gateway.topics import Topics


class Commands:
    """The way of commands to the nodes of a site; safe to use from several threads.

    Parameters
    ----------
    keys : Keys
        Sign them.
    topics : Topics
    publish : callable (topic, payload)
        Must not block.
    now_ns : callable
        Unix time.
    """

    def __init__(
        self,
        keys: Keys,
        topics: Topics,
        publish: Callable[[str, bytes], None],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._keys = keys
        self._topics = topics
        self._publish = publish
        self._now_ns = now_ns

    def send(self, node: str, boot: int, kind: str, arguments: BaseModel, lifetime_ns: int) -> None:
        """Send a command to a run of a node; nobody waits for its response."""
        now_ns = self._now_ns()
        asked = Command(
            id=secrets.token_hex(16),
            boot=boot,
            issued_ns=now_ns,
            expires_ns=now_ns + lifetime_ns,
            kind=kind,
            arguments=arguments.model_dump(),
        )
        body = self._keys.sign(node, Purpose.COMMAND, command.pack(asked))
        self._publish(self._topics.of(node, "cmd"), body)
