"""``tactic doctor``: every check, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tactic_device.doctor import (
    broker,
    codec,
    machine,
    rate,
    remedy,
    service,
    settings,
    source,
    storage,
)
from tactic_device.doctor.base import Case, Finding, State, fault

CHECKS = (
    *settings.CHECKS,
    *machine.CHECKS,
    *codec.CHECKS,
    *source.CHECKS,
    *storage.CHECKS,
    *broker.CHECKS,
    *rate.CHECKS,
    *service.CHECKS,
)
STATES: tuple[State, ...] = ("good", "warning", "fault", "skipped")


def examine(config: Path, root: Path) -> Iterator[tuple[str, Finding]]:
    """Run the checks; yield each one's id with what it found.

    Parameters
    ----------
    config : Path
        Of the node.
    root : Path
        Of the system that the node runs on.
    """
    case = Case(config, root)
    for name, check in CHECKS:
        try:
            found = check(case)
        except Exception as problem:  # one check that fails must not hide what the others find
            if os.environ.get("TACTIC_TRACEBACK"):
                raise
            text = " ".join(f"{type(problem).__name__}: {problem}".split())
            command = f"TACTIC_TRACEBACK=1 {remedy.tactic('doctor', '--config', config)}"
            found = fault(f"this check failed itself: {text}; please report it", command)
        yield name, found
