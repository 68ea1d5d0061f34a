"""Means, spreads and intervals of results that looked at the same photos."""

from __future__ import annotations

import math
import statistics as plain
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate import curves
from tactic.reproduce.cell import Json, Result
from tactic_train import bootstrap

Floats = NDArray[np.float64]


def right(results: Sequence[Result]) -> Floats:
    """Share of the seeds that are right on each photo; float64 (N,)."""
    total = np.zeros(len(results[0].figures.right or ""))
    for result in results:
        total += each_right(result)
    return total / len(results)


def each_right(result: Result) -> Floats:
    """1 where the answer is right; float64 (N,)."""
    assert result.figures.right
    return np.frombuffer(result.figures.right.encode(), np.uint8).astype(np.float64) - ord("0")


def accuracy(results: Sequence[Result]) -> Json:
    """Mean over seeds, their standard deviation, and a 95 % interval over photos."""
    found = right(results)
    return {
        "accuracy": float(found.mean()),
        "accuracy_sd": _deviation([result.figures.accuracy for result in results]),
        "accuracy_interval": bootstrap.interval(found @ bootstrap.weights(len(found))),
    }


def gain(ours: Sequence[Result], theirs: Sequence[Result]) -> Json:
    """How much more accurate one method is than another, seed by seed and photo by photo.

    The interval is of photos drawn anew, the same for both methods. It says nothing about further
    seeds; the standard deviation of the seeds' own gains does.
    """
    found = right(ours) - right(theirs)
    each = [a.figures.accuracy - b.figures.accuracy for a, b in zip(ours, theirs, strict=True)]
    return {
        "gain": float(found.mean()),
        "gain_sd": _deviation(each),
        "gain_interval": bootstrap.interval(found @ bootstrap.weights(len(found))),
    }


def gain_at_same_bytes(
    ours: Sequence[Result], fewer: Sequence[Result], more: Sequence[Result]
) -> Json | None:
    """The gain over a method with two points, between them where it takes as many bytes.

    Its accuracy is interpolated over the logarithm of the bytes. Where even its smaller point takes
    more bytes, that one counts, which is in its favour; where its larger one takes fewer, there is
    nothing to compare.

    Parameters
    ----------
    ours, fewer, more : sequences of Result
        One for each seed; ``fewer`` and ``more`` are the other method's points.
    """
    share = _place_between(ours, fewer, more)
    if share is None:
        return None
    inside = max(0.0, share)
    found = right(ours) - (1 - inside) * right(fewer) - inside * right(more)
    return {
        "gain": float(found.mean()),
        "gain_interval": bootstrap.interval(found @ bootstrap.weights(len(found))),
        "in_their_favour": share < 0,
    }


def _place_between(
    ours: Sequence[Result], fewer: Sequence[Result], more: Sequence[Result]
) -> float | None:
    """Where the bytes of ours lie: 0 at ``fewer``, 1 at ``more``; none beyond ``more``."""
    size, low, high = (sizes(each)["bytes"] for each in (ours, fewer, more))
    if size > high or low >= high:
        return None
    return math.log(size / low) / math.log(high / low)


def bytes_at_accuracy_of(
    size: Floats, right_there: Floats, sizes: Floats, right_each: Floats
) -> Json:
    """Bytes of a curve at the accuracy of another method's point, relative to that point's.

    Parameters
    ----------
    size, right_there : float64 arrays (N,)
        Bytes and correctness of the point on N photos.
    sizes, right_each : float64 arrays (P, N)
        Of the curve.

    Returns
    -------
    ``ratio``, null where the curve stays below; ``ratio_interval``; ``at_most``: whether all of the
    curve is more accurate, so that its smallest point was taken and there is no interval.
    """
    photos = len(size)
    at, drawn = (
        curves.bytes_at(sizes @ share, right_each @ share, right_there @ share) / (size @ share)
        for share in (np.full((photos, 1), 1 / photos), bootstrap.weights(photos))
    )
    known = not np.isnan(at[0])
    at_most = bool(right_there.mean() < right_each.mean(axis=1).min())
    return {
        "ratio": float(at[0]) if known else None,
        "ratio_interval": bootstrap.interval(drawn) if known and not at_most else None,
        "at_most": at_most,
    }


def segmentation(result: Result) -> Json:
    """Pixel accuracy and mean IoU over all photos, with 95 % intervals over photos."""
    areas = _areas(result)
    whole, share = _weights(areas)
    found: Json = {}
    for name, measure in (("accuracy", _pixel_accuracy), ("miou", _mean_iou)):
        found[name] = float(measure(areas, whole)[0])
        found[f"{name}_interval"] = bootstrap.interval(measure(areas, share))
    return found


def segmentation_gain(ours: Result, theirs: Result) -> Json:
    """How much more one codec leaves of the segmentation, photo by photo."""
    pair = _areas(ours), _areas(theirs)
    whole, share = _weights(pair[0])
    found: Json = {}
    for name, measure in (("accuracy", _pixel_accuracy), ("miou", _mean_iou)):
        found[f"{name}_gain"] = float((measure(pair[0], whole) - measure(pair[1], whole))[0])
        each = measure(pair[0], share) - measure(pair[1], share)
        found[f"{name}_gain_interval"] = bootstrap.interval(each)
    return found


def segmentation_gain_at_same_bytes(ours: Result, fewer: Result, more: Result) -> Json | None:
    """As `gain_at_same_bytes`, of pixel accuracy and of mean IoU."""
    place = _place_between([ours], [fewer], [more])
    if place is None:
        return None
    inside = max(0.0, place)
    of_ours, low, high = _areas(ours), _areas(fewer), _areas(more)
    found: Json = {"in_their_favour": place < 0}
    for name, measure in (("accuracy", _pixel_accuracy), ("miou", _mean_iou)):
        gained, each = (
            measure(of_ours, share)
            - (1 - inside) * measure(low, share)
            - inside * measure(high, share)
            for share in _weights(of_ours)
        )
        found[f"{name}_gain"] = float(gained[0])
        found[f"{name}_gain_interval"] = bootstrap.interval(each)
    return found


def _areas(result: Result) -> Floats:
    """Pixels hit, there and answered; float64 (3, N, classes)."""
    figures = result.figures
    return np.array([figures.hits, figures.truth, figures.answered], np.float64)


def _weights(areas: Floats) -> tuple[Floats, Floats]:
    photos = areas.shape[1]
    return np.full((photos, 1), 1 / photos), bootstrap.weights(photos)


def _pixel_accuracy(areas: Floats, share: Floats) -> Floats:
    """Of R weightings of the photos, float64 (N, R); float64 (R,)."""
    hits, truth, _ = areas.sum(axis=2)
    found: Floats = (hits @ share) / (truth @ share)
    return found


def _mean_iou(areas: Floats, share: Floats) -> Floats:
    """The same; classes that are neither there nor answered are left out."""
    hits, truth, answered = (each.T @ share for each in areas)
    union = truth + answered - hits
    there = union > 0
    ratio = np.divide(hits, union, out=np.zeros_like(hits), where=there)
    found: Floats = ratio.sum(axis=0) / there.sum(axis=0)
    return found


def sizes(results: Sequence[Result]) -> Json:
    """Mean bytes and bits per pixel, over photos and seeds; null where they are not known."""
    figures = [result.figures for result in results]
    return {
        "bytes": _mean([_mean(each.bytes) for each in figures]),
        "bytes_stripped": _mean([_mean(each.bytes_stripped) for each in figures]),
        "bytes_standard": _mean([_mean(each.bytes_standard) for each in figures]),
        "bits_per_pixel": _mean([each.bits_per_pixel for each in figures]),
        "bits_per_pixel_density": _mean([each.bits_per_pixel_density for each in figures]),
        "psnr_db": _mean([each.psnr_db for each in figures]),
    }


def _mean(values: Sequence[float | None] | None) -> float | None:
    known = [value for value in values or () if value is not None]
    return plain.fmean(known) if known else None


def _deviation(values: Sequence[float]) -> float | None:
    return plain.stdev(values) if len(values) > 1 else None
