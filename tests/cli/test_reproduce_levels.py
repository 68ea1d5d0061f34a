"""Our codec trained otherwise: for one rate level, or without a part; and what the rows say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tactic.reproduce import our_layouts
from tactic.reproduce.cell import Figures, Json, Result
from tactic.reproduce.experiment import make_report
from tactic.reproduce.lab import Lab
from tactic.reproduce.ours import PARTS, OneLevel
from tactic.reproduce.plans import Cells
from tactic.reproduce.preset import Preset

PHOTOS = 100


@pytest.fixture
def cells(toy_preset: Preset) -> Cells:
    ours = toy_preset.ours.model_copy(update={"levels": 2})
    return Cells(toy_preset.model_copy(update={"ours": ours, "one_level_share": 0.5}))


def result(right: float, size: int) -> Result:
    digits = "".join("01"[each < right * PHOTOS] for each in range(PHOTOS))
    return Result(
        cell="a",
        digest="0" * 12,
        configuration={},
        figures=Figures(right=digits, bytes=(size,) * PHOTOS, bytes_stripped=(size - 20,) * PHOTOS),
        wall_s=1.0,
        resumed=False,
        device="cpu, 1 threads",
        machine="a machine",
        date="2026-01-01",
    )


def rows(cells: Cells, alone: dict[int, tuple[float, int]]) -> tuple[list[Json], list[str], str]:
    fine, coarse = cells.ours(1)
    found = {cells.clean(1).name: result(0.95, 0)}
    found |= {fine.name: result(0.9, 400), coarse.name: result(0.7, 100)}
    for level, figures in alone.items():
        found[cells.one_level(1, level).name] = result(*figures)
    report = make_report("levels", cells, found)
    return (
        [row for row in report.rows if "ratio" in row],
        list(report.notes),
        our_layouts.levels(report.rows),
    )


def test_bytes_are_compared_at_the_accuracy_of_one_alone(cells: Cells) -> None:
    (fine, coarse), notes, text = rows(cells, {0: (0.8, 180), 1: (0.7, 110)})
    # Halfway between the two points in accuracy, so between their bytes in logarithm.
    assert fine["ratio"] == pytest.approx(np.sqrt(400 * 100) / 180)
    assert coarse["ratio"] == pytest.approx(100 / 110)
    low, high = fine["ratio_interval"]
    assert low <= fine["ratio"] <= high
    assert notes == [], "neither is shown to be better alone"
    assert text.count("\n") == 2 + 4


def test_what_is_better_alone_is_owned_up_to(cells: Cells) -> None:
    (fine, coarse), notes, _ = rows(cells, {0: (0.93, 400), 1: (0.7, 50)})
    assert fine["ratio"] is None and fine["ratio_interval"] is None
    assert coarse["ratio"] == pytest.approx(2)
    assert notes == [
        "A model for level 0 alone is more accurate than the model for all levels at any.",
        "A model for level 1 alone needs 50 % fewer bytes at equal accuracy.",
    ]


def test_all_that_differs_is_the_level(cells: Cells, tmp_path: Path) -> None:
    lab = Lab(tmp_path, lambda line: None)
    ours, (first, second) = cells.ours(1)[1], (cells.one_level(1, level) for level in (0, 1))
    assert isinstance(second.codec, OneLevel)
    assert len({cell.digest for cell in (ours.codec, first.codec, second.codec)}) == 3
    assert second.name == "ours-only1-l1-s1"
    plans = [cell.codec.plan(lab).model_dump() for cell in (ours, second)]
    begin = len(cells.preset.ours.begin)
    for all_levels, alone in zip(*(plan["stage"][begin:] for plan in plans), strict=True):
        assert alone["steps"] == -(-all_levels["steps"] // 2)
        differs = {key for key in alone if alone[key] != all_levels[key]}
        assert differs <= {"steps", "level", "tail_drop"}
        assert (alone["level"], all_levels["level"], alone["tail_drop"]) == (1, None, 0)
    same = [{k: v for k, v in plan.items() if k not in {"stage", "name"}} for plan in plans]
    assert same[0] == same[1]
    shorter = replace(cells, preset=cells.preset.model_copy(update={"one_level_share": 0.25}))
    assert shorter.ours(1)[0].digest == cells.ours(1)[0].digest
    assert shorter.one_level(1, 0).digest != first.digest


def test_a_part_is_left_out_at_one_level(cells: Cells, tmp_path: Path) -> None:
    (whole, *_), other = cells.shorter(1, None), cells.shorter(1, "maps")
    assert [cell.name for cell in other] == ["ours-shorter-no-maps-l1-s1"]
    lab, begin = Lab(tmp_path, lambda line: None), len(cells.preset.ours.begin)
    before = whole.codec.plan(lab).model_dump()
    for part, without in PARTS.items():
        (cell,) = cells.shorter(1, part)
        after, changed = cell.codec.plan(lab).model_dump(), without.stages
        for one, another in zip(before["stage"][begin:], after["stage"][begin:], strict=True):
            assert {key: another[key] for key in changed} == changed
            assert {key for key in one if one[key] != another[key]} <= set(changed)
        assert after["model"] == before["model"] | {"arch": without.arch}
        one, another = (plan | {"name": ""} for plan in (before, after))
        assert one != another, "nothing was left out"


def test_what_a_part_saves(cells: Cells) -> None:
    fine, coarse = cells.shorter(1, None)
    found = {cells.clean(1).name: result(0.95, 0)}
    found |= {fine.name: result(0.9, 400), coarse.name: result(0.7, 100)}
    for part in PARTS:
        found[cells.shorter(1, part)[0].name] = result(0.8, 150 if part == "tail" else 400)
    report = make_report("parts", cells, found)
    ratios = {row["method"]: row["ratio"] for row in report.rows if "ratio" in row}
    assert set(ratios) == set(PARTS)
    assert ratios["tail"] == pytest.approx(200 / 150)
    assert ratios["maps"] == pytest.approx(200 / 400)
    assert len(report.notes) == 1 and "“tail”" in report.notes[0]
    assert our_layouts.parts(report.rows).count("\n") == 2 + 2 + len(PARTS)
