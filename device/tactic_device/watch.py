"""Tells an operator when something changes for the worse, or for the better again."""

from __future__ import annotations

from tactic_codec.drop import Reason
from tactic_device.dispatch import Dispatch
from tactic_device.log import Log

_QUIET_NS = 60_000_000_000


class Watch:
    """Compares what a node has to say with what it said last.

    Parameters
    ----------
    dispatch : Dispatch
    log : Log

    Attributes
    ----------
    largest_bytes : int or None
        The largest frame that the broker takes.
    """

    def __init__(self, dispatch: Dispatch, log: Log) -> None:
        self.largest_bytes: int | None = None
        self._dispatch = dispatch
        self._log = log
        self._troubles: dict[str, str] = {}
        self._told: dict[Reason, int] = dispatch.dropped()
        self._told_ns: dict[Reason, int] = {}

    def look(self, now_ns: int) -> None:
        """Log what has changed: faults of storage at once, drops at most once a minute."""
        self._look_at_storage()
        for reason, frames in self._dispatch.dropped().items():
            new = frames - self._told.get(reason, 0)
            if new > 0 and self._is_news(reason, now_ns):
                self._told[reason], self._told_ns[reason] = frames, now_ns
                self._log.warning("dropped", frames=new, **self._explain(reason))

    def _is_news(self, reason: Reason, now_ns: int) -> bool:
        last_ns = self._told_ns.get(reason)
        if last_ns is None:
            return True
        # The broker's limit stays, and so does the remedy: it is said once.
        return reason is not Reason.OVERSIZED and now_ns - last_ns >= _QUIET_NS

    def _look_at_storage(self) -> None:
        troubles = self._dispatch.troubles()
        for medium, cause in troubles.items():
            if medium not in self._troubles:
                self._log.warning("storage_failed", medium=medium, cause=cause)
        for medium in self._troubles.keys() - troubles.keys():
            self._log.info("storage_works", medium=medium)
        self._troubles = troubles

    def _explain(self, reason: Reason) -> dict[str, str]:
        about = {"reason": reason.name.lower()}
        if reason is Reason.OVERSIZED and self.largest_bytes is not None:
            about["remedy"] = (
                f"the broker takes frames of {self.largest_bytes} bytes: lower "
                "encoder.budget_bytes, or raise the broker's limit"
            )
        return about
