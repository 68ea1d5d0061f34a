"""What the nodes say is wrong with them, as their health messages tell it."""

from __future__ import annotations

from collections.abc import Collection

from tactic_gateway.log import Log
from tactic_gateway.records import Ledger


class Watchlist:
    """Says once when an alarm of a node rises, and once when it ends.

    Parameters
    ----------
    log : Log
    most_nodes : int
        Of more nodes nothing is kept.
    """

    def __init__(self, log: Log, most_nodes: int) -> None:
        self._log = log
        self._most_nodes = most_nodes
        self._alarms: dict[str, frozenset[str]] = {}

    @property
    def alarms(self) -> dict[str, list[str]]:
        """Those that hold now, by node."""
        # The thread that reports is another one than that which notes.
        return {node: sorted(names) for node, names in dict(self._alarms).items() if names}

    def note(self, ledgers: Collection[Ledger]) -> None:
        """Look at the latest health messages, one a node."""
        for ledger in ledgers:
            before = self._alarms.get(ledger.node, frozenset())
            now = frozenset(ledger.alarms)
            if now == before or (ledger.node not in self._alarms and self._is_full):
                continue
            self._alarms[ledger.node] = now
            for name in sorted(now - before):
                remedy = "see the node's log, or tactic node NAME report; docs/raspberry-pi.md"
                self._log.warning("node_alarm", node=ledger.node, alarm=name, remedy=remedy)
            for name in sorted(before - now):
                self._log.info("node_alarm_ended", node=ledger.node, alarm=name)

    @property
    def _is_full(self) -> bool:
        return len(self._alarms) >= self._most_nodes
