"""Errors of the evaluation."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class EvaluationError(TacticError):
    """Pictures or result files are missing or unfit (exit code 7)."""

    exit_code = 7


class RivalMissingError(EvaluationError):
    """The installed Pillow lacks one of the codecs to compare with (exit code 2)."""

    exit_code = 2


class OutputError(EvaluationError):
    """A result or a figure cannot be written (exit code 8)."""

    exit_code = 8
