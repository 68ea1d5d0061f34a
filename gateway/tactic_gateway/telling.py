"""Tells nodes how near their answers are to others, for their change gating."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from tactic_codec.node_key import Purpose
from tactic_delivery import command
from tactic_delivery.command import Command
from tactic_delivery.kinds import Margin
from tactic_delivery.margins import Margins, margin
from tactic_gateway.keys import Keys
from tactic_gateway.metrics import Metrics
from tactic_gateway.records import Outcome
from tactic_gateway.topics import Topics

#: soon another answer counts; and nodes remember few commands that have not expired
LIFETIME_NS = 8_000_000_000


class Teller:
    """From answers to commands; worker threads call it.

    Parameters
    ----------
    limit : float
        Score below which an answer counts as none.
    keys : Keys
        Sign the commands.
    topics : Topics
    publish : callable (topic, payload)
        Sends a command; must not block.
    metrics : Metrics
    now_ns : callable
        Unix time.
    monotonic_ns : callable
    """

    def __init__(
        self,
        limit: float,
        keys: Keys,
        *,
        topics: Topics,
        publish: Callable[[str, bytes], None],
        metrics: Metrics,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._limit = limit
        self._margins = Margins()
        self._keys = keys
        self._topics = topics
        self._publish = publish
        self._metrics = metrics
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()

    def note(self, outcome: Outcome) -> None:
        """Note what became of a frame; heads that give no scores of classes say nothing."""
        found = [scores for each in outcome.results if (scores := _scores(each.finding.fields))]
        if not found:
            return
        nearest = min(margin(scores, self._limit) for scores in found)
        key = outcome.job.key
        # Under the lock to the end, so that what is told last is the newest.
        with self._lock:
            told = self._margins.answered(key, nearest, self._monotonic_ns())
            if told is not None:
                self._tell(key.node, key.boot, told)

    def _tell(self, node: str, boot: int, told: float) -> None:
        now_ns = self._now_ns()
        asked = Command(
            id=secrets.token_hex(16),
            boot=boot,
            issued_ns=now_ns,
            expires_ns=now_ns + LIFETIME_NS,
            kind="margin",
            arguments=Margin(margin=told).model_dump(),
        )
        body = self._keys.sign(node, Purpose.COMMAND, command.pack(asked))
        self._publish(self._topics.of(node, "cmd"), body)
        self._metrics.add("gating.told")


def _scores(fields: object) -> list[float]:
    """Scores of the best classes, the best first; none where there are none."""
    try:
        return [float(each["score"]) for each in fields["classes"][:2]]  # type: ignore[index]
    except (KeyError, IndexError, TypeError, ValueError):
        return []
