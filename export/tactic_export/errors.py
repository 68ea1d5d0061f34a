"""Errors of the export room."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class ExportError(TacticError):
    """A checkpoint that cannot become a bundle (exit code 4)."""

    exit_code = 4
