"""The columns of our own tables, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tactic.reproduce.cell import Json
from tactic.reproduce.layouts import whole_bytes
from tactic.reproduce.markdown import NOTHING, number, per_cent, saving, spread, table, times


def beyond(rows: Sequence[Json]) -> str:
    """What the others need, every point, and what the networks cost."""
    compared = [row for row in rows if row["part"] == "compared"]
    parts = [
        _compared(compared),
        _same_accuracy(compared),
        _points([row for row in rows if row["part"] in {"point", "node"}]),
        _halves([row for row in rows if row["part"] == "half"]),
        _costs([row for row in rows if row["part"] == "cost"]),
    ]
    return "\n".join(filter(None, parts))


def levels(rows: Sequence[Json]) -> str:
    """Each level by both models."""
    header = (
        "rate level",
        "trained for",
        "accuracy, % [95 %]",
        "bytes",
        "bytes of all levels ÷ its own, at its accuracy",
    )
    return table(
        header,
        [
            [
                row["setting"].removeprefix("level "),
                row["method"],
                spread(row["accuracy"], row["accuracy_interval"]),
                number(row["bytes"]),
                _ratio_there(row) if "ratio" in row else "",
            ]
            for row in rows
        ],
    )


_PARTS = {
    "nothing": "nothing",
    "overlap": "overlap of the encoder's windows: `block`, a quarter of its work",
    "task": "the task: distortion and rate alone, then the head",
    "teacher": "the teacher: labels alone",
    "maps": "the teacher's inner maps",
    "rounding": "straight-through rounding: noise",
    "tail": "tail drop",
}


def parts(rows: Sequence[Json]) -> str:
    """What is left when a part is left out."""
    header = (
        "left out",
        "rate level",
        "accuracy, % [95 %]",
        "bytes",
        "bytes of the whole ÷ its own, at its accuracy",
    )
    return table(
        header,
        [
            [
                _PARTS[row["method"]],
                row["setting"].removeprefix("level "),
                spread(row["accuracy"], row["accuracy_interval"]),
                number(row["bytes"]),
                _ratio_there(row) if "ratio" in row else "",
            ]
            for row in rows
        ],
    )


def _compared(rows: Sequence[Json]) -> str:
    header = (
        "tactic against",
        "its bytes ÷ ours, 5 points below “none, head tuned on”",
        "whole ÷ whole",
        "both without header",
        "BD-rate, % [95 %]",
        "BD-rate, whole",
    )
    return table(
        header,
        [
            [
                row["method"],
                *(
                    times(row[f"ratio_{count}"], row[f"ratio_{count}_interval"])
                    for count in ("strict", "whole", "stripped")
                ),
                *(
                    saving(row[f"bd_rate_{count}"], row[f"bd_rate_{count}_interval"])
                    for count in ("strict", "whole")
                ),
            ]
            for row in rows
        ],
    )


def _same_accuracy(rows: Sequence[Json]) -> str:
    """Stripped bytes of the others at the accuracy of each of our settings, ÷ our whole packet."""
    header = ("bytes ÷ ours at the accuracy of", *(row["method"] for row in rows))
    return table(
        header,
        [
            [
                setting,
                *(_ratio_there(row["ratio_at"][setting]) for row in rows),
            ]
            for setting in rows[0]["ratio_at"]
        ],
    )


def _ratio_there(row: Json) -> str:
    """What `statistics.bytes_at_accuracy_of` found."""
    return times(row["ratio"], row["ratio_interval"], row["at_most"])


def _points(rows: Sequence[Json]) -> str:
    header = ("codec", "setting", "accuracy, % [95 %]", "bytes", "without header", "PSNR, dB", "")
    return table(
        header,
        [
            [
                row["method"],
                row["setting"] or NOTHING,
                spread(row["accuracy"], row["accuracy_interval"]),
                whole_bytes(row),
                number(row["bytes_stripped"]),
                number(row["psnr_db"], 1),
                "•" if row.get("envelope") else "",
            ]
            for row in rows
        ],
    )


def _halves(rows: Sequence[Json]) -> str:
    header = ("half of every frame", "bytes", "of", "accuracy, % [95 %]", "of", "points lost")
    if not rows:
        return ""
    return table(
        header,
        [
            [
                row["setting"],
                number(row["bytes"]),
                number(row["whole_bytes"]),
                spread(row["accuracy"], row["accuracy_interval"]),
                per_cent(row["whole"]),
                spread(row["lost"], row["lost_interval"]),
            ]
            for row in rows
        ],
    )


def _costs(rows: Sequence[Json]) -> str:
    header = ("network", "parameters", "MAC per pixel", "ms, one thread")
    return table(
        header,
        [
            [
                row["method"],
                number(row["parameters"]),
                number(row["macs_per_pixel"]),
                number(row["ms"], 1),
            ]
            for row in rows
        ],
    )
