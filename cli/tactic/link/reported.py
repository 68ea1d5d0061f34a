"""Traces from a report of ``tactic reproduce beyond``, where every setting has its own head."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic_codec.packet import HEADER_BYTES
from tactic_link.errors import LinkError
from tactic_link.traces import Setting, Traces, answer_only, with_beginnings

_OURS = "codec-ours"
_FAULTS = (AttributeError, KeyError, TypeError, ValueError)


def read_report(path: Path) -> Traces:
    """Read what every photo cost and was worth.

    Parameters
    ----------
    path : Path
        ``beyond.json``.

    Raises
    ------
    LinkError
        The file is missing, or no such report.
    """
    try:
        report = json.loads(path.read_bytes())
        cells = report["cells"]
        clean = _right(next(cell for cell in cells if _kind(cell) == "Uncompressed"))
        sent = [setting for cell in cells if (setting := _setting(cell))]
        about = {
            "report": path.name,
            "preset": report["preset"]["name"],
            "head": "tuned to each setting",
            "machine": " / ".join(sorted({cell["machine"] for cell in cells})),
            "commit": report["commit"],
            "date": report["date"],
        }
        return _traces(sent, clean, about)
    except OSError as fault:
        raise LinkError(f"{path}: {fault.strerror}; run tactic reproduce beyond first") from fault
    except (*_FAULTS, StopIteration) as fault:
        raise LinkError(
            f"{path}: no report of tactic reproduce beyond; give its --out's beyond.json"
        ) from fault


def _traces(sent: Sequence[Setting], clean: NDArray[np.float64], about: dict[str, Any]) -> Traces:
    if any(len(setting.right) != len(clean) for setting in sent):
        raise ValueError("cells of different photos")
    return Traces(with_beginnings([*sent, answer_only(clean)]), clean, about)


def _setting(cell: Mapping[str, Any]) -> Setting | None:
    """Of our codec or of files; None for other cells."""
    made = cell["configuration"]
    knobs: dict[str, Any]
    if _kind(cell) == "File":
        codec, header = made["codec"], HEADER_BYTES
        knobs = {"quality": made["quality"], "scale": made["scale"]}
    elif _kind(cell) == "Learned" and made["codec"]["cell"].startswith(_OURS):
        codec, header = "tactic", 0
        knobs = {"level": made["level"], "share": made.get("share", 1.0)}
    else:
        return None
    # A file of another codec travels in a packet, too.
    sizes = np.array(cell["figures"]["bytes"], np.int64) + header
    return Setting(codec, knobs, sizes, _right(cell))


def _right(cell: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.array([float(digit) for digit in cell["figures"]["right"]])


def _kind(cell: Mapping[str, Any]) -> str:
    return str(cell["configuration"]["kind"])
