"""Errors of the demo."""

from __future__ import annotations

from tactic_codec.errors import TacticError


class DemoError(TacticError):
    """The demo cannot run here (exit code 1); the message says what is missing."""


class BrokerMissingError(DemoError):
    """No MQTT broker starts (exit code 6)."""

    exit_code = 6
