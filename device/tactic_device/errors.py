"""Errors of the device room; each branch has its own exit code."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class DeviceError(TacticError):
    """Something a camera node cannot go on without."""


class EncoderError(DeviceError):
    """No runtime can run the bundle's encoder (exit code 4)."""

    exit_code = 4


class SourceError(DeviceError):
    """The camera or folder is missing, or has stopped giving pictures (exit code 5)."""

    exit_code = 5


class OutboxError(DeviceError):
    """The outbox cannot be read, written or locked (exit code 8)."""

    exit_code = 8


class SlotError(DeviceError):
    """The slots for bundles that come over the air cannot be read or written (exit code 8)."""

    exit_code = 8


class ServiceError(DeviceError):
    """The system does not let itself be made a node (exit code 1)."""


class DoctorError(DeviceError):
    """The doctor found what keeps a node from working (exit code 11)."""

    exit_code = 11


class TrialError(DeviceError):
    """A bundle on trial that does not do what it must; the former one goes on (exit code 4)."""

    exit_code = 4
