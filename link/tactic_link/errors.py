"""Errors of the link room."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class LinkError(TacticError):
    """Presets, elements, contact tables or traces are missing or unfit (exit code 10)."""

    exit_code = 10
