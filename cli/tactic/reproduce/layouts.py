"""Each table's columns, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tactic.reproduce.cell import Json
from tactic.reproduce.markdown import NOTHING, number, per_cent, saving, spread, table, times


def table1(rows: Sequence[Json]) -> str:
    """Table 1: every method, and what the paper has for it."""
    header = (
        "method",
        "setting",
        "accuracy, % [95 %]",
        "bytes",
        "without header",
        "bit/pixel",
        "bit/pixel, density",
        "paper: accuracy",
        "paper: bit/pixel",
    )
    return table(header, [_table1_row(row) for row in rows])


def _table1_row(row: Json) -> list[str]:
    beside = row["published"] or {}
    return [
        row["method"],
        row["setting"] or NOTHING,
        spread(row["accuracy"], row["accuracy_interval"]),
        _whole(row),
        number(row["bytes_stripped"]),
        number(row["bits_per_pixel"], 3),
        number(row["bits_per_pixel_density"], 3),
        per_cent(beside.get("accuracy")),
        number(beside.get("bits_per_pixel"), 4),
    ]


def _whole(row: Json) -> str:
    """Bytes; those of a JPEG with the standard's Huffman tables in brackets."""
    standard = row["bytes_standard"]
    return number(row["bytes"]) + (f" ({number(standard)})" if standard else "")


def table2(rows: Sequence[Json]) -> str:
    """Table 2: mean over seeds, and the gain of the aware codec over the others."""
    header = (
        "codec",
        "β",
        "accuracy, % ± sd [95 %]",
        "gain of aware, points ± sd [95 %]",
        "bytes",
        "bit/pixel",
        "PSNR, dB",
        "paper: accuracy",
    )
    text = table(header, [_table2_row(row) for row in rows])
    lines = [
        _table2_gain(rows[-1], key, whom)
        for key, whom in (
            ("at_same_bytes", "agnostic"),
            ("at_same_bytes_longer", "agnostic with a head tuned longer, first seed"),
        )
        if rows[-1].get(key)
    ]
    return "\n".join([text, *lines])


def _table2_gain(row: Json, key: str, whom: str) -> str:
    gained = spread(row[key]["gain"], row[key]["gain_interval"])
    whose = "; that takes more bytes even so" if row[key]["in_their_favour"] else ""
    return (
        f"Gain of aware at {row['setting']} over {whom}, at the same bytes, interpolated between "
        f"the two points of that: {gained}{whose}.\n"
    )


def _table2_row(row: Json) -> list[str]:
    gained = "gain" in row
    return [
        row["method"],
        row["setting"].removeprefix("β = ") or NOTHING,
        spread(row["accuracy"], row["accuracy_interval"], row["accuracy_sd"]),
        spread(row["gain"], row["gain_interval"], row["gain_sd"]) if gained else NOTHING,
        number(row["bytes"]),
        number(row["bits_per_pixel"], 3),
        number(row["psnr_db"], 1),
        per_cent((row["published"] or {}).get("accuracy")),
    ]


def table3(rows: Sequence[Json]) -> str:
    """Table 3: each loss, each codec, and what the paper has for it."""
    header = (
        "codec",
        "loss",
        "pixel accuracy, % [95 %]",
        "mIoU, % [95 %]",
        "gain of aware in pixels",
        "gain of aware in mIoU",
        "bytes",
        "bit/pixel",
        "paper: accuracy",
        "paper: mIoU",
    )
    text = table(header, [_table3_row(row) for row in rows])
    same = [(row["loss"], row.get("at_same_bytes")) for row in rows if "miou_gain" in row]
    lines = [_table3_gain(loss, gained) for loss, gained in same if gained]
    return "\n".join([text, *lines]) if lines else text


def _table3_gain(loss: str, gained: Json) -> str:
    pixels, miou = (
        spread(gained[f"{name}_gain"], gained[f"{name}_gain_interval"])
        for name in ("accuracy", "miou")
    )
    whose = "; agnostic takes more bytes even so" if gained["in_their_favour"] else ""
    return (
        f"Gain of aware by {loss}, at the same bytes: {pixels} of pixels, {miou} of mIoU{whose}.\n"
    )


def _table3_row(row: Json) -> list[str]:
    beside = row["published"] or {}
    gained = "miou_gain" in row
    return [
        row["method"],
        row["loss"],
        spread(row["accuracy"], row["accuracy_interval"]),
        spread(row["miou"], row["miou_interval"]),
        spread(row["accuracy_gain"], row["accuracy_gain_interval"]) if gained else NOTHING,
        spread(row["miou_gain"], row["miou_gain_interval"]) if gained else NOTHING,
        number(row["bytes"]),
        number(row["bits_per_pixel"], 3),
        per_cent(beside.get("accuracy")),
        per_cent(beside.get("miou")),
    ]


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
                _bound(row["at_most"]) + times(row["ratio"], row["ratio_interval"])
                if "ratio" in row
                else "",
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
                _bound(row["at_most"]) + times(row["ratio"], row["ratio_interval"])
                if "ratio" in row
                else "",
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
                *(
                    _bound(setting in row["at_most"]) + times(row["ratio_at"][setting], None)
                    for row in rows
                ),
            ]
            for setting in rows[0]["ratio_at"]
        ],
    )


def _bound(at_most: bool) -> str:
    """Before a ratio that was read off the end of a curve, which is more accurate all over."""
    return "≤ " if at_most else ""


def _points(rows: Sequence[Json]) -> str:
    header = ("codec", "setting", "accuracy, % [95 %]", "bytes", "without header", "PSNR, dB", "")
    return table(
        header,
        [
            [
                row["method"],
                row["setting"] or NOTHING,
                spread(row["accuracy"], row["accuracy_interval"]),
                _whole(row),
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
