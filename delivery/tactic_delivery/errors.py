"""Errors of the delivery room."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class DeliveryError(TacticError):
    """The protocol was not followed by the other end (exit code 6)."""

    exit_code = 6


class AckError(DeliveryError):
    """An acknowledgement that cannot be believed. ``reason`` counts it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"acknowledgement rejected ({reason}): {detail}")
        self.reason = reason


class CommandError(DeliveryError):
    """A command or response that is none. ``reason`` counts it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"command rejected ({reason}): {detail}")
        self.reason = reason
