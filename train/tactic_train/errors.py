"""Errors of the training room."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class TrainError(TacticError):
    """Training cannot start or go on."""


class DataError(TrainError):
    """Training images are missing or unreadable (exit code 7)."""

    exit_code = 7


class HeadError(TrainError):
    """A head is unknown or its package is missing (exit code 7)."""

    exit_code = 7


class CheckpointError(TrainError):
    """A checkpoint is missing, damaged, or of another configuration (exit code 7)."""

    exit_code = 7
