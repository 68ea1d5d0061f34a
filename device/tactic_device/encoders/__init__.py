"""int8 encoder runtimes behind one protocol, tried in a subprocess before they are used."""

from tactic_device.encoders.base import Encoder
from tactic_device.encoders.selection import Choice, Limits, choose

__all__ = ["Choice", "Encoder", "Limits", "choose"]
