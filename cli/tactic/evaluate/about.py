"""Where and when a result was made."""

from __future__ import annotations

import datetime
import platform
import subprocess
from pathlib import Path


def machine() -> str:
    """Processor, architecture and system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor()
    return ", ".join(part for part in (cpu, platform.machine(), platform.system()) if part)


def commit() -> str | None:
    """Commit of the checkout, with ``-changed`` where files differ from it; None without one."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            [*command, "--dirty=-changed"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def date() -> str:
    """Today, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
