"""The columns of the paper's tables, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tactic.reproduce.cell import Json
from tactic.reproduce.markdown import NOTHING, number, per_cent, spread, table


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
        whole_bytes(row),
        number(row["bytes_stripped"]),
        number(row["bits_per_pixel"], 3),
        number(row["bits_per_pixel_density"], 3),
        per_cent(beside.get("accuracy")),
        number(beside.get("bits_per_pixel"), 4),
    ]


def whole_bytes(row: Json) -> str:
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
