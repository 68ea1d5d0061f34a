"""What the figures say against the method, in sentences: written down with every table."""

from __future__ import annotations

from collections.abc import Sequence

from tactic.reproduce.cell import Json

_POINTS = 100


def of_table1(rows: Sequence[Json]) -> list[str]:
    """JPEG where it is no worse than the paper's model, in whole files and packets."""
    found = []
    files = [row for row in rows if row["method"] == "JPEG"]
    for model in (row for row in rows if row["method"] == "paper's model"):
        better = [
            file
            for file in files
            if file["accuracy"] >= model["accuracy"] and file["bytes"] <= model["bytes"]
        ]
        if better:
            best = min(better, key=lambda row: float(row["bytes"]))
            found.append(
                f"The paper's model at {model['setting']} loses to JPEG at {best['setting']}: "
                f"{_POINTS * model['accuracy']:.1f} % at {model['bytes']:.0f} bytes against "
                f"{_POINTS * best['accuracy']:.1f} % at {best['bytes']:.0f} bytes."
            )
    return found


def of_table2(rows: Sequence[Json]) -> list[str]:
    """Gains of task-aware training that are negative, or whose interval has 0 in it."""
    found = []
    if "at_same_bytes" in rows[-1] and rows[-1]["at_same_bytes"] is None:
        found.append(
            f"At {rows[-1]['setting']} the aware codec takes more bytes than an agnostic one "
            "without a limit: nothing can be said at the same bytes."
        )
    for key, whom in (("at_same_bytes", ""), ("at_same_bytes_longer", ", its head tuned longer,")):
        if same := rows[-1].get(key):
            where = f"against agnostic{whom} at the bytes of {rows[-1]['setting']}"
            found += _not_shown(same["gain"], same["gain_interval"], where, "points")
    for row in (row for row in rows if "gain" in row):
        interval = row["gain_interval"] or (row["gain"], row["gain"])
        where = f"against {row['method']} at {row['setting']}"
        found += _not_shown(row["gain"], interval, where, "points")
    return found


def of_table3(rows: Sequence[Json]) -> list[str]:
    """Losses by which training with the task is not shown to help segmentation."""
    found = []
    for row in (row for row in rows if "miou_gain" in row):
        where = f"by {row['loss']}"
        for each, at in ((row, ""), (row.get("at_same_bytes"), " at the same bytes")):
            if each:
                gained = each["miou_gain"], each["miou_gain_interval"]
                found += _not_shown(*gained, where + at, "points of mIoU")
    return found


def _not_shown(gain: float, interval: Sequence[float], where: str, unit: str) -> list[str]:
    """What to say of a gain that is none, or may be none."""
    low, high = interval
    points = f"{_POINTS * gain:+.1f} {unit}"
    if high < 0:
        return [f"Training with the task did harm {where}: {points}."]
    if low <= 0:
        return [
            f"No gain of training with the task is shown {where}: {points}, "
            f"interval {_POINTS * low:+.1f} to {_POINTS * high:+.1f}."
        ]
    return []


def of_beyond(rows: Sequence[Json]) -> list[str]:
    """Codecs that our own does not beat, counted in the way that is hardest for it."""
    found = []
    compared = [row for row in rows if row["part"] == "compared"]
    if compared and compared[0]["ours_reach"] and not compared[0]["ours_reach_clean"]:
        found.append(
            "tactic comes within 5 points of the head that was tuned on, not of the clean head, "
            "which is more accurate: below that one there is no ratio."
        )
    for row in compared:
        ratio, interval = row["ratio_strict"], row["ratio_strict_interval"]
        if not row["ours_reach"]:
            found.append(
                "tactic does not come within 5 points of the accuracy on uncompressed photos; "
                f"{row['method']} {'does' if row['theirs_reach'] else 'does not either'}."
            )
        elif ratio is None:
            continue
        elif ratio < 1:
            found.append(f"{row['method']} needs fewer bytes than tactic: {ratio:.2f} ×.")
        elif interval is None or interval[0] <= 1:
            found.append(f"That tactic beats {row['method']} is not shown: {ratio:.2f} ×.")
    return found


def of_levels(rows: Sequence[Json]) -> list[str]:
    """Levels at which a model of its own is shown to need fewer bytes, or to be more accurate."""
    found = []
    for row in (row for row in rows if "ratio" in row):
        alone = f"A model for {row['setting']} alone"
        if row["ratio"] is None:
            found.append(f"{alone} is more accurate than the model for all levels at any.")
        elif row["ratio_interval"] and row["ratio_interval"][0] > 1:
            saved = _POINTS * (1 - 1 / row["ratio"])
            found.append(f"{alone} needs {saved:.0f} % fewer bytes at equal accuracy.")
    return found


def of_parts(rows: Sequence[Json]) -> list[str]:
    """Parts that are not shown to save bytes."""
    found = []
    for row in (row for row in rows if "ratio" in row):
        if row["ratio"] is None or not row["ratio_interval"] or row["ratio_interval"][1] >= 1:
            found.append(
                f"Without the part “{row['method']}” of our training, no more bytes are shown to "
                "be needed at equal accuracy."
            )
    return found
