"""What watches the node: its loops, the board and the pictures; and the alarms that they raise."""

from __future__ import annotations

from collections.abc import Callable

from tactic_device.alarms import Alarms
from tactic_device.config import DeviceConfig
from tactic_device.drift import Drift
from tactic_device.heart import UPLINK, Heart
from tactic_device.log import Log
from tactic_device.vitals import Watchman

#: a name server that is away lets a connection wait for so long
CONNECT_S = 60.0
#: three runtimes may be tried when the gateway asks for another level or bundle
CHANGE_S = 180.0


class Monitor:
    """One for each run.

    Parameters
    ----------
    config : DeviceConfig
    heart : Heart
    log : Log

    Attributes
    ----------
    changed : callable
        Called when an alarm rises or ends.
    """

    def __init__(self, config: DeviceConfig, heart: Heart, log: Log) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.heart = heart
        self.alarms = Alarms(log, self._tell)
        self.board = Watchman(self.alarms)
        self.drift = Drift(config.drift, config.outbox.path, self.alarms, log)

    def _tell(self) -> None:
        self.changed()

    def round(self, now_ns: int) -> None:
        """The sending loop has come round."""
        self.heart.beat(UPLINK)
        self.board.look(now_ns)

    def facts(self) -> dict[str, object]:
        """For the health message."""
        return {
            "alarms": sorted(self.alarms.names),
            **self.board.facts(),
            "drift": self.drift.facts(),
        }
