"""Errors of the training room."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class TrainError(TacticError):
    """Training cannot start or go on (exit code 7)."""

    exit_code = 7


class DataError(TrainError):
    """Training images are missing or unreadable."""


class HeadError(TrainError):
    """A head is unknown, its package is missing, or its weights do not fit."""


class CheckpointError(TrainError):
    """A checkpoint is missing, damaged, or of another configuration."""
