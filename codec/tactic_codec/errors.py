"""Errors of the whole system: one root with an exit code, one branch per room."""

from __future__ import annotations


class TacticError(Exception):
    """Anything a user can mend. The message is one line: what, where, and what to do.

    ``exit_code`` is what a command returns; ``docs/exit-codes.md`` lists them.
    """

    exit_code = 1


class ConfigError(TacticError):
    """A configuration file is missing, malformed or has an unknown key (exit code 3)."""

    exit_code = 3


class CodecError(TacticError):
    """Bytes that are not what they claim to be (exit code 4)."""

    exit_code = 4


class PacketError(CodecError):
    """A packet that is too short, damaged, or of an unknown version. ``reason`` counts it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"packet rejected ({reason}): {detail}")
        self.reason = reason


class StreamError(CodecError):
    """An entropy-coded stream that does not fit the tables it is decoded with."""


class TableError(CodecError):
    """A probability table that breaks an invariant (sum, range, order)."""


class BundleError(CodecError):
    """A bundle that is missing, incomplete, tampered with, or of another format."""


class TrustError(CodecError):
    """A bundle or a trust file that no trusted key vouches for, or an old one."""
