"""The result of an evaluation: the JSON object of ``tactic eval``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate import codec, curves
from tactic.evaluate.curves import LOSS
from tactic.evaluate.measure import Rows
from tactic.evaluate.setting import Setting
from tactic_train import bootstrap
from tactic_train.confusion import Counts, mean_iou

_FULL_SCALE = 255.0

Floats = NDArray[np.float64]
Json = dict[str, Any]


def summarise(settings: Sequence[Setting], rows: Rows) -> Json:
    """Make curves, ratios and intervals of per-picture figures."""
    share = bootstrap.weights(len(rows.pixels))
    clean = rows.clean_right @ share
    found: Json = {
        "n": len(rows.pixels),
        "clean_accuracy": float(rows.clean_right.mean()),
        "clean_accuracy_interval": bootstrap.interval(clean),
        **_miou("clean_miou", rows.clean_confusion),
        "curves": _curves(settings, rows, rows.right @ share),
    }
    for column in ("bytes", "bytes_stripped"):
        at, resampled = {}, {}
        for name in found["curves"]:
            mine = [number for number, each in enumerate(settings) if each.codec == name]
            sizes, right = getattr(rows, column)[mine], rows.right[mine]
            at[name] = _crossing(sizes, right, rows.clean_right)
            resampled[name] = curves.bytes_at(sizes @ share, right @ share, clean - LOSS)
        found[f"{column}_at_clean_minus_5"] = at
        found |= _ratios(column, at, resampled)
    return found


def _curves(settings: Sequence[Setting], rows: Rows, resampled: Floats) -> dict[str, list[Json]]:
    """Points by codec, each curve sorted by bytes."""
    points = [_point(settings[p], rows, p, resampled[p]) for p in range(len(settings))]
    found: dict[str, list[Json]] = {}
    for setting, point in zip(settings, points, strict=True):
        found.setdefault(setting.codec, []).append(point)
    for curve in found.values():
        sizes, accuracy = (np.array([p[key] for p in curve]) for key in ("bytes", "accuracy"))
        for point, kept in zip(curve, curves.envelope(sizes, accuracy), strict=True):
            point["envelope"] = bool(kept)
        curve.sort(key=lambda point: (point["bytes"], -point["accuracy"]))
    for point in found[codec.NAME]:
        others = {name: curve for name, curve in found.items() if name != codec.NAME}
        point["bytes_ratio"] = {name: _same_accuracy(point, c) for name, c in others.items()}
    return found


def _same_accuracy(point: Json, curve: list[Json]) -> float | None:
    """Bytes that another codec needs for the accuracy of a point, relative to the point's."""
    sizes, accuracy = (np.array([[p[key]] for p in curve]) for key in ("bytes", "accuracy"))
    at = curves.bytes_at(sizes, accuracy, np.array([point["accuracy"]]))[0]
    return None if np.isnan(at) else float(at / point["bytes"])


def _point(setting: Setting, rows: Rows, p: int, resampled: Floats) -> Json:
    error = float(rows.squared_error[p].mean())
    return {
        **setting.knobs,
        "bytes": float(rows.bytes[p].mean()),
        "bytes_stripped": float(rows.bytes_stripped[p].mean()),
        "bits_per_pixel": float(8 * rows.bytes[p].sum() / rows.pixels.sum()),
        "accuracy": float(rows.right[p].mean()),
        "accuracy_interval": bootstrap.interval(resampled),
        **_miou("miou", rows.confusion[p]),
        "agreement": float(rows.agrees[p].mean()),
        "psnr_db": float(10 * np.log10(_FULL_SCALE**2 / error)) if error else None,
    }


def _miou(name: str, counts: Counts) -> Json:
    """Mean IoU, where pixels have classes."""
    return {name: mean_iou(counts)} if counts.size else {}


def _crossing(sizes: Floats, right: Floats, clean: Floats) -> float | None:
    """Bytes of one codec at the accuracy that is compared, on all pictures."""
    target = np.array([clean.mean() - LOSS])
    at = curves.bytes_at(
        sizes.mean(axis=1, keepdims=True), right.mean(axis=1, keepdims=True), target
    )[0]
    return None if np.isnan(at) else float(at)


def _ratios(column: str, at: dict[str, float | None], resampled: dict[str, Floats]) -> Json:
    """Bytes of every other codec relative to tactic's."""
    ours = at[codec.NAME]
    ratio: dict[str, float | None] = {}
    intervals: dict[str, list[float] | None] = {}
    for name, theirs in at.items():
        if name == codec.NAME:
            continue
        ratio[name] = theirs / ours if theirs and ours else None
        each = curves.ratio(resampled[name], resampled[codec.NAME])
        intervals[name] = bootstrap.interval(each) if ratio[name] else None
    return {
        f"{column}_ratio_at_clean_minus_5": ratio,
        f"{column}_ratio_interval": intervals,
    }
