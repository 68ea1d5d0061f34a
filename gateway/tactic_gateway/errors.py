"""Errors of the gateway room."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class GatewayError(TacticError):
    """Anything that goes wrong in the gateway (exit code 1)."""


class StoreError(GatewayError):
    """The database cannot be opened or written (exit code 8)."""

    exit_code = 8


class DamageError(StoreError):
    """The store was read, and something in it is wrong (exit code 8)."""


class AuditError(GatewayError):
    """An account that does not balance (exit code 9)."""

    exit_code = 9


class DecodeError(GatewayError):
    """One frame that cannot be turned into a picture or a result; never ends the gateway.

    ``reason`` counts it: ``bundle``, ``geometry``, ``level`` or ``layers`` (the packet selects
    what the bundle does not declare), ``stream``, ``model`` or ``store``.
    """

    exit_code = 4

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"frame not decoded ({reason}): {detail}")
        self.reason = reason
        self.detail = detail


class WorkerLostError(GatewayError):
    """A worker process that died or had to be killed; it is started again.

    ``reason`` is ``crash``, ``timeout`` or ``memory``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"worker lost ({reason}): {detail}")
        self.reason = reason
        self.detail = detail


class NodeError(GatewayError):
    """A node that cannot be told something, or does not answer (exit code 6)."""

    exit_code = 6
