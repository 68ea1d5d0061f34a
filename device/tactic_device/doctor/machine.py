"""The machine: Python, clock, power, heat, memory, swap."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
import time

from tactic_device import vitals
from tactic_device.config import DeviceConfig
from tactic_device.doctor import remedy
from tactic_device.doctor.base import Case, Check, Finding, fault, good, skipped, warning
from tactic_device.doctor.storage import memory_bytes
from tactic_device.health import clock_is_synchronised

_MODULES = ("numpy", "cv2", "paho.mqtt.client", "pydantic", "cryptography")
_PYTHONS = ((3, 11), (3, 13))
#: nothing of this project is older
_LEAST_UNIX_S = 1_760_000_000
_LEAST_MEMORY_BYTES = 400 << 20
_LEAST_DISK_BYTES = 200 << 20
_CARD = "mmcblk"


def python(_case: Case) -> Finding:
    """Whether this Python is one that tactic knows."""
    version = platform.python_version()
    known = _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]
    if known and sys.maxsize > 1 << 32:
        return good(f"Python {version} on {platform.machine()}")
    return fault(
        f"Python {version} on {platform.machine()}: tactic needs 3.11 to 3.13, 64 bits",
        f"{remedy.as_root()}apt-get install -y python3-venv",
    )


def packages(_case: Case) -> Finding:
    """Whether what the node needs is installed and loads."""
    for name in _MODULES:
        try:
            importlib.import_module(name)
        except Exception as problem:  # a package that is broken raises whatever it likes
            command = remedy.pip("install", "--upgrade", "tactic-edge[device]")
            return fault(f"{name} does not load: {problem}", command)
    return good("every package that the node needs loads")


def clock(_case: Case) -> Finding:
    """Whether the wall clock is kept right."""
    command = f"{remedy.as_root()}timedatectl set-ntp true"
    if time.time() < _LEAST_UNIX_S:
        return fault(f"the clock says {time.strftime('%Y-%m-%d')}", command)
    if not clock_is_synchronised():
        return warning("no time service keeps the clock right: frames have no date", command)
    return good("a time service keeps the clock right")


def temperature(case: Case) -> Finding:
    """Whether the board is cool enough."""
    found = vitals.read(case.root).temperature_c
    if found is None:
        return skipped("this machine does not tell its temperature")
    if found >= vitals.HOT_C:
        config = case.config
        fps = config.source.fps if isinstance(config, DeviceConfig) else 0.0
        command = remedy.set_key(case.path, "source.fps", f"{fps / 2 or 1.0:g}")
        return warning(f"{found:.0f} °C: it needs a heat sink, shade or less work", command)
    return good(f"{found:.0f} °C")


def power(case: Case) -> Finding:
    """Whether power was always enough since the start."""
    found = vitals.read(case.root)
    if found.throttled is None:
        return skipped("this machine does not tell whether it slows down")
    names = sorted({*found.throttled, *found.since_boot})
    if names:
        command = f"{remedy.as_root()}reboot"
        return warning(
            f"since the start: {', '.join(names)}; change supply, cable or cooling, and then",
            command,
        )
    return good("neither power nor heat has ever slowed the board down")


def memory(case: Case) -> Finding:
    """Whether there is memory for a node."""
    if not (case.root / "proc/meminfo").is_file():
        return skipped("the system does not run")
    total = memory_bytes("MemTotal", case.root)
    if total < _LEAST_MEMORY_BYTES:
        command = f"{remedy.as_root()}raspi-config nonint do_memory_split 16"
        return warning(f"{total >> 20} MB of memory: little for a camera and an encoder", command)
    return good(f"{total >> 20} MB of memory")


def swap(case: Case) -> Finding:
    """Whether the system swaps to its card."""
    path = case.root / "proc/swaps"
    lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.is_file() else []
    for line in lines:
        place, kind = line.split()[:2]
        if kind == "file" or _CARD in place:
            off = f"{remedy.as_root()}{remedy.quote('swapoff', place)}"
            return warning(f"the system swaps to {place}: that wears a card out", off)
    return good("nothing is swapped to a card")


def disk(case: Case) -> Finding:
    """Whether the system's disk has room."""
    free = shutil.disk_usage(case.root).free
    if free < _LEAST_DISK_BYTES:
        command = f"{remedy.as_root()}journalctl --vacuum-size=64M"
        return fault(f"{free >> 20} MB are free on the system's disk", command)
    return good(f"{free >> 20} MB are free on the system's disk")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("machine.python", python),
    ("machine.packages", packages),
    ("machine.clock", clock),
    ("machine.temperature", temperature),
    ("machine.power", power),
    ("machine.memory", memory),
    ("machine.swap", swap),
    ("machine.disk", disk),
)
