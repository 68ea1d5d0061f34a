"""The board itself: temperature, and whether it slows down or lacks power."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tactic_device.alarms import Alarms

ROOT = Path("/")
HOT_C = 80.0
COOL_C = 75.0
LOOK_NS = 10_000_000_000

_COMMAND_S = 2.0
#: bits of the Raspberry Pi firmware's get_throttled; 16 higher: since the board was switched on
_BITS = {0: "under_voltage", 1: "frequency_capped", 2: "throttled", 3: "soft_limit"}
_SINCE_BOOT = 16
_SLOWED = frozenset({"frequency_capped", "throttled", "soft_limit"})
_POWER = "use a supply and a cable made for this board, and unplug what draws current"
_HEAT = "give the board a heat sink or a fan, shade and air; or lower source.fps"


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the board says about itself.

    Attributes
    ----------
    temperature_c : float or None
        Of the hottest zone.
    throttled : tuple of str or None
        ``under_voltage``, ``frequency_capped``, ``throttled``, ``soft_limit``: what holds now;
        None where the system does not say.
    since_boot : tuple of str
        The same, at any time since it was switched on.
    """

    temperature_c: float | None
    throttled: tuple[str, ...] | None
    since_boot: tuple[str, ...] = ()


def read(root: Path = ROOT) -> Vitals:
    """Ask the system.

    Parameters
    ----------
    root : Path
        Where ``sys`` is; elsewhere than ``/`` no command is asked.
    """
    flags = _firmware_flags(root)
    if flags is not None:
        return Vitals(temperature_c(root), _names(flags), _names(flags >> _SINCE_BOOT))
    return Vitals(temperature_c(root), _kernel_flags(root))


def temperature_c(root: Path = ROOT) -> float | None:
    """Return the temperature of the hottest thermal zone, or None where there is none."""
    found = [number / 1000 for number in _numbers(root, "sys/class/thermal/thermal_zone*/temp")]
    return max(found, default=None)


class Watchman:
    """Looks at the board now and then, and raises alarms.

    Parameters
    ----------
    alarms : Alarms
    look : callable
        Reads the vital signs.
    """

    def __init__(self, alarms: Alarms, look: Callable[[], Vitals] = read) -> None:
        self._alarms = alarms
        self._look = look
        self._next_ns = 0
        self.latest = Vitals(None, None)

    def look(self, now_ns: int) -> None:
        """Read the vital signs if it is time."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + LOOK_NS
        self.latest = now = self._look()
        flags = frozenset(now.throttled or ())
        slowed = sorted(flags & _SLOWED)
        self._alarms.set("under_voltage", "under_voltage" in flags, remedy=_POWER)
        self._alarms.set("throttled", bool(slowed), by=slowed, remedy=_HEAT)
        if now.temperature_c is not None:
            # Between both limits it stays what it was, so that nothing flaps.
            hot = now.temperature_c >= (COOL_C if "hot" in self._alarms.names else HOT_C)
            self._alarms.set("hot", hot, temperature_c=now.temperature_c, remedy=_HEAT)

    def facts(self) -> dict[str, object]:
        """For the health message."""
        now = self.latest
        return {
            "temperature_c": now.temperature_c,
            "throttled": None if now.throttled is None else list(now.throttled),
            "throttled_since_boot": list(now.since_boot),
        }


def _firmware_flags(root: Path) -> int | None:
    """The Raspberry Pi's own word, from the kernel or from ``vcgencmd``."""
    for path in root.glob("sys/devices/platform/soc*/*firmware/get_throttled"):
        try:
            return int(path.read_text(encoding="ascii"), 16)
        except (OSError, ValueError):
            continue
    command = shutil.which("vcgencmd") if root == ROOT else None
    if command is None:
        return None
    try:
        done = subprocess.run(
            [command, "get_throttled"], capture_output=True, timeout=_COMMAND_S, check=True
        )
        return int(done.stdout.decode().strip().removeprefix("throttled="), 16)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _kernel_flags(root: Path) -> tuple[str, ...] | None:
    """What every Linux board has: processors that are cooled by slowing them down."""
    known = False
    for path in root.glob("sys/class/thermal/cooling_device*/type"):
        if "cpu" not in _text(path):
            continue
        known = True
        if _text(path.with_name("cur_state")) not in {"", "0"}:
            return ("throttled",)
    return () if known else None


def _names(flags: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _BITS.items() if flags >> bit & 1)


def _numbers(root: Path, pattern: str) -> Iterator[int]:
    for path in root.glob(pattern):
        # Some zones exist but cannot be read.
        if (text := _text(path)).removeprefix("-").isdecimal():
            yield int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
