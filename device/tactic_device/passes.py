"""A table of contacts that are known beforehand, on the node's clock."""

from __future__ import annotations

import csv
from pathlib import Path

from tactic_codec.errors import ConfigError
from tactic_delivery.schedule import Contact, Schedule

_REMEDY = "give a CSV with the columns start_unix_s, end_unix_s and rate_bps"


def read_passes(path: Path, boot_unix_ns: int) -> Schedule:
    """Read a CSV of contacts.

    Parameters
    ----------
    path : Path
    boot_unix_ns : int
        Unix time at which the node's clock was 0.

    Raises
    ------
    ConfigError
        It is missing, or its rows are no contacts.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return Schedule([_contact(row, boot_unix_ns) for row in csv.DictReader(file)])
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise ConfigError(f"{path}: rate.passes: {fault}; {_REMEDY}") from fault
    except (ArithmeticError, KeyError, TypeError, ValueError) as fault:
        raise ConfigError(f"{path}: rate.passes: {fault} is no contact; {_REMEDY}") from fault


def _contact(row: dict[str, str], boot_unix_ns: int) -> Contact:
    start_ns, end_ns = (
        round(float(row[name]) * 1e9) - boot_unix_ns for name in ("start_unix_s", "end_unix_s")
    )
    return Contact(start_ns, end_ns, float(row["rate_bps"]))
