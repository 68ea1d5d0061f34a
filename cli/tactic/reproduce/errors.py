"""Errors of ``tactic reproduce``."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class ReproduceError(TacticError):
    """Data, weights or results of an experiment are missing or unfit (exit code 7)."""

    exit_code = 7
