"""The rows of the paper's tables, from results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tactic.reproduce import published, statistics
from tactic.reproduce.cell import Cell, Json, Result
from tactic.reproduce.codecs import short
from tactic.reproduce.plans import Cells, by_loss

Results = Mapping[str, Result]
LOSS_NAMES: dict[float | None, str] = {1.0: "weighted cross-entropy", 0.0: "Dice", 0.5: "both"}


def table1_rows(cells: Cells, results: Results) -> list[Json]:
    """Accuracy and rate of every method, at one seed."""
    preset, seed = cells.preset, cells.preset.seeds[0]
    rows = [
        row("none", "", [cells.clean(seed)], results, _published(published.NONE)),
        row("none, head tuned on", "", [cells.uncompressed(seed)], results, None),
    ]
    for quality in sorted(preset.jpeg_qualities, reverse=True):
        cell: Cell = cells.file("jpeg", quality, 1.0, seed)
        beside = _published(published.JPEG.get(quality))
        rows.append(row("JPEG", f"quality {quality}", [cell], results, beside))
    for beta in sorted(preset.betas):
        cell = cells.aware(beta, seed)
        beside = _published(published.AWARE.get(beta))
        rows.append(row("paper's model", beta_name(beta), [cell], results, beside))
    return rows


def table2_rows(cells: Cells, results: Results) -> list[Json]:
    """Task-aware against agnostic, mean over seeds; rows of agnostic ones have the gain."""
    seeds = cells.preset.seeds
    none = [cells.clean(seed) for seed in seeds]
    tuned = [cells.uncompressed(seed) for seed in seeds]
    rows = [
        row("none", "", none, results, _accuracy(published.UNLIMITED["none"])),
        row("none, head tuned on", "", tuned, results, None),
    ]
    limited = cells.preset.limited_beta
    rows += _against(cells, results, 0.0) + _against(cells, results, limited)
    ours, fewer, more = (
        _of([make(beta, seed) for seed in seeds], results)
        for make, beta in (
            (cells.aware, limited),
            (cells.agnostic, limited),
            (cells.agnostic, 0.0),
        )
    )
    rows[-1]["at_same_bytes"] = statistics.gain_at_same_bytes(ours, fewer, more)
    longer = [results[cells.patient(beta, seeds[0]).name] for beta in (limited, 0.0)]
    rows[-1]["at_same_bytes_longer"] = statistics.gain_at_same_bytes(
        ours[:1], longer[:1], longer[1:]
    )
    return rows


def _against(cells: Cells, results: Results, beta: float) -> list[Json]:
    """The three rows of one β; the head that is tuned for longer has one seed."""
    seeds, setting = cells.preset.seeds, beta_name(beta)
    agnostic = [cells.agnostic(beta, seed) for seed in seeds]
    patient = cells.patient(beta, seeds[0])
    aware = [cells.aware(beta, seed) for seed in seeds]
    theirs, ours = (
        None if beta else _accuracy(published.UNLIMITED[name]) for name in ("agnostic", "aware")
    )
    found = _of(aware, results)
    return [
        row("agnostic", setting, agnostic, results, theirs)
        | statistics.gain(found, _of(agnostic, results)),
        row("agnostic, head tuned longer", setting, [patient], results, None)
        | statistics.gain(found[:1], [results[patient.name]]),
        row("aware", setting, aware, results, ours),
    ]


def table3_rows(cells: Cells, results: Results) -> list[Json]:
    """Pixel accuracy and mean IoU without compression, with agnostic and with aware codecs.

    Rows of aware ones have the gain, also at the same bytes.
    """
    seed, limited = cells.preset.seeds[0], cells.preset.drawn_beta
    rows = []
    for each in by_loss(cells):
        methods: dict[str, Cell] = {
            "none": each.clean(seed),
            "none, head tuned on": each.uncompressed(seed),
            f"agnostic, {beta_name(limited)}": each.agnostic(limited, seed),
            "agnostic": each.agnostic(0.0, seed),
            "aware": each.aware(0.0, seed),
        }
        fewer, more, ours = [results[cell.name] for cell in list(methods.values())[2:]]
        beside = published.SEGMENTED if each.gamma == published.SEGMENTED_GAMMA else {}
        for method, cell in methods.items():
            found = results[cell.name]
            segmented = beside.get(method)
            rows.append(
                {
                    "method": method,
                    "loss": LOSS_NAMES[each.gamma],
                    **statistics.segmentation(found),
                    **statistics.sizes([found]),
                    "published": segmented and segmented._asdict(),
                }
            )
        rows[-1] |= statistics.segmentation_gain(ours, more)
        rows[-1]["at_same_bytes"] = statistics.segmentation_gain_at_same_bytes(ours, fewer, more)
    return rows


def row(
    method: str, setting: str, cells: Sequence[Cell], results: Results, beside: Json | None
) -> Json:
    """One method at one setting, over its seeds.

    Parameters
    ----------
    method, setting : str
        As they stand in the table.
    cells : sequence of Cell
        One for each seed.
    results : mapping
        By the cells' names.
    beside : Json or None
        What the paper has for it.
    """
    found = _of(cells, results)
    return {
        "method": method,
        "setting": setting,
        "seeds": len(found),
        **statistics.accuracy(found),
        **statistics.sizes(found),
        "published": beside,
    }


def _of(cells: Sequence[Cell], results: Results) -> list[Result]:
    return [results[cell.name] for cell in cells]


def _accuracy(value: float) -> Json:
    return {"accuracy": value}


def _published(figures: published.Published | None) -> Json | None:
    return figures and figures._asdict()


def beta_name(beta: float) -> str:
    """β as it stands in tables."""
    return f"β = {short(beta).replace('_', '/')}"
