"""The rows of ``beyond``: bytes at equal accuracy, each codec with a head tuned to it.

Three ways of counting, the first the hardest for us: our whole packets against files without their
headers; whole against whole; without headers against without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate import curves, files
from tactic.evaluate.curves import LOSS
from tactic.reproduce import statistics
from tactic.reproduce.bd_rate import bd_rate
from tactic.reproduce.cell import Cell, Json, Result
from tactic.reproduce.plans import Cells, rivals
from tactic.reproduce.tables import beta_name, row, table1_rows
from tactic_codec.packet import HEADER_BYTES
from tactic_link.traces import ANSWER_BYTES
from tactic_train import bootstrap

OURS = "tactic"
PAPER = "paper's model"
#: way of counting → what is counted of the others, and of ours
COUNTS = {
    "strict": ("bytes_stripped", "bytes"),
    "whole": ("bytes", "bytes"),
    "stripped": ("bytes_stripped", "bytes_stripped"),
}
#: of the Bjøntegaard difference, which takes a while
_RESAMPLES = 200

Floats = NDArray[np.float64]
#: bytes and correctness of P settings on N photos, float64 (P, N) each
Figures = tuple[Floats, Floats]
Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Figures of P settings on N photos; float64 (P, N) each."""

    settings: tuple[str, ...]
    bytes: Floats
    bytes_stripped: Floats
    right: Floats


def beyond_rows(cells: Cells, results: Results) -> list[Json]:
    """Points, comparisons and costs; ``part`` says which a row is."""
    points = point_rows(cells, results)
    curve = {name: _curve(each, results) for name, each in methods(cells).items()}
    seed = cells.preset.seeds[0]
    heads = cells.clean(seed), cells.uncompressed(seed)
    first, clean = (statistics.right([results[cell.name]]) for cell in heads)
    reached = bool(curve[OURS].right.mean(axis=1).max() >= first.mean() - LOSS)
    compared = [
        _compare(name, theirs, curve[OURS], clean) | {"ours_reach_clean": reached}
        for name, theirs in curve.items()
        if name != OURS
    ]
    return [*points, *compared, *_halves(cells, results), *_costs(cells, results)]


def fig2_rows(cells: Cells, results: Results) -> list[Json]:
    """The rows of ``table1``, and our codec at each level."""
    ours = cells.ours(cells.preset.seeds[0])
    return table1_rows(cells, results) + [
        row(OURS, f"level {cell.level}", [cell], results, None) for cell in ours
    ]


def methods(cells: Cells) -> dict[str, list[tuple[str, Cell]]]:
    """The settings of each codec, with their names in tables."""
    preset, seed = cells.preset, cells.preset.seeds[0]
    found: dict[str, list[tuple[str, Cell]]] = {
        OURS: [
            *((f"level {cell.level}", cell) for cell in cells.ours(seed)),
            *((f"level {cell.level}, {cell.share:.0%} sent", cell) for cell in cells.cut(seed)),
        ]
    }
    for codec, settings in rivals(preset).items():
        found[files.NAMES[codec]] = [
            (_setting(quality, scale), cells.file(codec, quality, scale, seed))
            for quality, scale in settings
        ]
    if preset.betas:
        found[PAPER] = [(beta_name(beta), cells.aware(beta, seed)) for beta in preset.betas]
    return found


def point_rows(cells: Cells, results: Results) -> list[Json]:
    """Uncompressed, then every setting of every codec, sorted by bytes within each."""
    seed = cells.preset.seeds[0]
    found = [
        row("none", "", [cells.clean(seed)], results, None),
        row("none, head tuned on", "", [cells.uncompressed(seed)], results, None),
    ]
    for name, settings in methods(cells).items():
        rows = [row(name, setting, [cell], results, None) for setting, cell in settings]
        sizes, accuracy = (np.array([r[key] for r in rows]) for key in ("bytes", "accuracy"))
        for each, kept in zip(rows, curves.envelope(sizes, accuracy), strict=True):
            each["envelope"] = bool(kept)
        found += sorted(rows, key=lambda each: float(each["bytes"]))
    return [{"part": "point", **each} for each in found]


def _curve(settings: Sequence[tuple[str, Cell]], results: Results) -> Curve:
    found = [results[cell.name] for _, cell in settings]
    return Curve(
        tuple(setting for setting, _ in settings),
        np.array([each.figures.bytes for each in found], float),
        np.array([each.figures.bytes_stripped for each in found], float),
        np.stack([statistics.each_right(each) for each in found]),
    )


def _compare(name: str, theirs: Curve, ours: Curve, clean: Floats) -> Json:
    """Bytes of a codec relative to ours where 5 points are lost, and the mean saving."""
    share = bootstrap.weights(len(clean))
    whole = np.full((len(clean), 1), 1 / len(clean))
    found: Json = {"part": "compared", "method": name}
    for reached, curve in (("ours_reach", ours), ("theirs_reach", theirs)):
        found[reached] = bool((curve.right @ whole).max() >= clean.mean() - LOSS)
    for count, (of_theirs, of_ours) in COUNTS.items():
        pair = (getattr(theirs, of_theirs), theirs.right), (getattr(ours, of_ours), ours.right)
        at = _ratio(*pair, whole, clean @ whole - LOSS)[0]
        known = bool(at > 0)
        each = _ratio(*pair, share, clean @ share - LOSS)
        found[f"ratio_{count}"] = float(at) if known else None
        found[f"ratio_{count}_interval"] = bootstrap.interval(each) if known else None
        saved = _savings(*pair, share)
        found[f"bd_rate_{count}"], found[f"bd_rate_{count}_interval"] = saved
    # Their bytes without headers, our whole packets, at the accuracy of each of ours.
    found["ratio_at"] = {
        setting: statistics.bytes_at_accuracy_of(sizes, right, theirs.bytes_stripped, theirs.right)
        for setting, sizes, right in zip(ours.settings, ours.bytes, ours.right, strict=True)
    }
    return found


def _ratio(theirs: Figures, ours: Figures, share: Floats, target: Floats) -> Floats:
    """Bytes of theirs divided by ours at an accuracy; float64 (R,)."""
    return curves.ratio(*(_bytes_at(codec, share, target) for codec in (theirs, ours)))


def _bytes_at(codec: Figures, share: Floats, target: Floats) -> Floats:
    sizes, right = codec
    return curves.bytes_at(sizes @ share, right @ share, target)


def _savings(
    theirs: Figures, ours: Figures, share: Floats
) -> tuple[float | None, list[float] | None]:
    """The Bjøntegaard difference of ours to theirs, and its interval."""

    def difference(weights: Floats) -> float | None:
        means = [(sizes @ weights, right @ weights) for sizes, right in (theirs, ours)]
        return bd_rate(*means)

    found = difference(np.full(len(share), 1 / len(share)))
    if found is None:
        return None, None
    each = [difference(weights) for weights in share.T[:_RESAMPLES]]
    known = np.array([np.nan if value is None else value for value in each])
    return found, bootstrap.interval(known)


def _halves(cells: Cells, results: Results) -> list[Json]:
    """What half of the bytes of each frame keep of the answers, no head being tuned to that."""
    found = []
    for cell in cells.shortened(cells.preset.seeds[0]):
        half, whole = results[cell.name], results[cell.whole.name]
        lost = statistics.gain([whole], [half])
        each = row(OURS, f"level {cell.whole.level}", [cell], results, None)
        each |= {"whole": whole.figures.accuracy, "whole_bytes": _mean(whole)}
        each |= {"lost": lost["gain"], "lost_interval": lost["gain_interval"]}
        found.append({"part": "half", **each})
    return found


def _mean(result: Result) -> float:
    return float(np.mean(result.figures.bytes or ()))


def _costs(cells: Cells, results: Results) -> list[Json]:
    """Weights, sums and time of each network; the answer of a head that runs on the node."""
    parts = results[cells.cost().name].figures.parts or {}
    found: list[Json] = [
        {"part": "cost", "method": name, **part.model_dump()} for name, part in parts.items()
    ]
    answer = row("head on the node", "", [cells.uncompressed(cells.preset.seeds[0])], results, None)
    size = ANSWER_BYTES + HEADER_BYTES
    answer |= {"bytes": float(size), "bytes_stripped": float(ANSWER_BYTES)}
    answer["bits_per_pixel"] = 8 * size / cells.preset.photos.side_px**2
    return [*found, {"part": "node", **answer}]


def _setting(quality: int, scale: float) -> str:
    return f"quality {quality}" + ("" if scale == 1 else f", {scale:g} ×")
