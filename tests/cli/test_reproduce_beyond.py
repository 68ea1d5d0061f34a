"""Our codec against others: ratios, savings and costs from figures, and what is owned up to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tactic.reproduce import beyond, our_layouts
from tactic.reproduce.cell import Figures, Json, Result
from tactic.reproduce.cost import count_macs
from tactic.reproduce.experiment import EXPERIMENTS, make_report
from tactic.reproduce.figure import write_figure
from tactic.reproduce.plans import Cells
from tactic.reproduce.preset import Preset
from tactic_codec.packet import HEADER_BYTES
from tactic_train.networks import PaperCodec

PHOTOS = 200
#: codec → bytes of its two points; the first is right on 60 %, the second on 90 %
SIZES = {"ours": (120, 220), "webp": (240, 440), "jpeg": (1000, 1200), "aware": (200, 210)}
ACCURACY = (0.6, 0.9)


@pytest.fixture
def cells(toy_preset: Preset) -> Cells:
    two = {
        "betas": (1 / 32, 1.0),
        "rivals": {"jpeg": ((5, 1.0), (10, 1.0)), "webp": ((0, 1.0), (5, 1.0))},
        "ours": toy_preset.ours.model_copy(update={"levels": 2}),
    }
    return Cells(toy_preset.model_copy(update=two))


def right(share: float) -> str:
    """What is hard for one codec is hard for all."""
    digits = np.arange(PHOTOS) < share * PHOTOS
    shuffled = np.random.default_rng(0).permutation(digits)
    return "".join("01"[int(each)] for each in shuffled)


def results(cells: Cells, sizes: dict[str, tuple[int, int]]) -> dict[str, Result]:
    """Every codec at its two points, the finer ones of ours and of the paper's model last."""
    found: dict[str, Result] = {}
    seen: dict[str, int] = {}
    part = {"parameters": 10, "macs_per_pixel": 3.0, "ms": 1.5}
    for cell in EXPERIMENTS["beyond"].plan(cells):
        kind = cell.name.partition("-")[0]
        figures = Figures(right=right(0.9))
        if kind == "cost":
            figures = Figures.model_validate({"parts": {"head": part}})
        elif "-half-" in cell.name:
            figures = Figures(right=right(0.5), bytes=(60,) * PHOTOS, bytes_stripped=(40,) * PHOTOS)
        elif kind in sizes:
            point = seen[kind] = seen.get(kind, -1) + 1
            point = min(point, 1)
            size = sizes[kind][point]
            figures = Figures(
                right=right(ACCURACY[point]),
                bytes=(size,) * PHOTOS,
                bytes_stripped=(size - 20,) * PHOTOS,
                bits_per_pixel=size / 128,
            )
        found[cell.name] = Result(
            cell=cell.name,
            digest="0" * 12,
            configuration={},
            figures=figures,
            wall_s=1.0,
            resumed=False,
            device="cpu, 1 threads",
            machine="a machine",
            date="2026-01-01",
        )
    return found


def compared(rows: list[Json]) -> dict[str, Json]:
    return {row["method"]: row for row in rows if row["part"] == "compared"}


def test_ratios_are_counted_in_three_ways(cells: Cells) -> None:
    rows = compared(beyond.beyond_rows(cells, results(cells, SIZES)))
    # Clean is 90 %; 85 % lies five sixths of the way between the two points of each curve.
    between = {
        name: [low ** (1 / 6) * high ** (5 / 6) for low, high in (pair, np.subtract(pair, 20))]
        for name, pair in SIZES.items()
    }
    webp, ours = between["webp"], between["ours"]
    assert rows["WebP"]["ratio_whole"] == pytest.approx(webp[0] / ours[0])
    assert rows["WebP"]["ratio_strict"] == pytest.approx(webp[1] / ours[0])
    assert rows["WebP"]["ratio_stripped"] == pytest.approx(webp[1] / ours[1])
    low, high = rows["WebP"]["ratio_strict_interval"]
    assert low <= rows["WebP"]["ratio_strict"] <= high
    for level, expected in (("level 0", 220 / 120), ("level 1", 420 / 220)):
        there = rows["WebP"]["ratio_at"][level]
        assert there["ratio"] == pytest.approx(expected)
        # What is hard for one is hard for all, so that the draws agree.
        assert there["ratio_interval"] == pytest.approx([expected, expected])
    assert rows["WebP"]["bd_rate_whole"] == pytest.approx(-0.5)
    assert rows["JPEG"]["bd_rate_strict"] < rows["WebP"]["bd_rate_strict"] < 0
    assert rows["JPEG"]["bd_rate_strict_interval"][1] < -0.5
    assert set(rows) == {"JPEG", "WebP", "paper's model"}


def test_every_head_is_tuned_for_as_long(cells: Cells) -> None:
    plan = EXPERIMENTS["beyond"].plan(cells)
    tuned = [cell for cell in plan if hasattr(cell, "tune")]
    assert {cell.name.partition("-")[0] for cell in tuned} == {
        *("none", "ours", "aware", "jpeg", "webp")
    }
    assert {cell.tune for cell in tuned} == {cells.preset.tune}


def test_notes_own_up(cells: Cells) -> None:
    report = make_report("beyond", cells, results(cells, SIZES | {"webp": (100, 150)}))
    assert any(note.startswith("WebP needs fewer bytes than tactic: 0.6") for note in report.notes)
    assert not any("JPEG" in note for note in report.notes)
    found = results(cells, SIZES)
    for name, result in found.items():
        if name.startswith("ours"):
            worse = result.figures.model_copy(update={"right": right(0.5)})
            found[name] = result.model_copy(update={"figures": worse})
    report = make_report("beyond", cells, found)
    assert any("tactic does not come within 5 points" in note for note in report.notes)
    assert compared(list(report.rows))["WebP"]["ratio_strict"] is None
    assert "| WebP | – | – | – |" in our_layouts.beyond(report.rows)


def test_the_clean_head_may_be_better_than_the_one_that_was_tuned_on(cells: Cells) -> None:
    found = results(cells, SIZES)
    better = found["none-s1"].figures.model_copy(update={"right": right(0.99)})
    found["none-s1"] = found["none-s1"].model_copy(update={"figures": better})
    notes = make_report("beyond", cells, found).notes
    assert any("not of the clean head" in note for note in notes)
    assert not any(
        "clean head" in n for n in make_report("beyond", cells, results(cells, SIZES)).notes
    )


def test_draws_in_which_ours_does_not_reach_the_accuracy_count_as_nothing(cells: Cells) -> None:
    """Ours is within 5 points of clean by one photo: not so in many of the draws."""
    found = results(cells, SIZES)
    for name, result in found.items():
        if name.startswith("ours") and "1" in (result.figures.right or ""):
            other = np.random.default_rng(1).permutation(np.arange(PHOTOS) < 0.855 * PHOTOS)
            worse = result.figures.model_copy(
                update={"right": "".join("01"[int(each)] for each in other)}
            )
            found[name] = result.model_copy(update={"figures": worse})
    rows = compared(beyond.beyond_rows(cells, found))
    assert rows["WebP"]["ratio_strict"] > 1
    low, high = rows["WebP"]["ratio_strict_interval"]
    assert low == 0
    assert high >= rows["WebP"]["ratio_strict"]


def test_a_curve_that_ends_above_ours_gives_a_bound(cells: Cells) -> None:
    found = results(cells, SIZES)
    (name,) = (name for name in found if name.startswith("ours-l0-s1"))
    low = found[name].figures.model_copy(update={"right": right(0.4)})
    found[name] = found[name].model_copy(update={"figures": low})
    report = make_report("beyond", cells, found)
    there = compared(list(report.rows))["WebP"]["ratio_at"]
    assert [there[level]["at_most"] for level in ("level 0", "level 1")] == [True, False]
    assert there["level 0"]["ratio_interval"] is None
    assert "| level 0 | ≤ " in our_layouts.beyond(report.rows)


def test_points_costs_and_a_head_on_the_node(cells: Cells) -> None:
    report = make_report("beyond", cells, results(cells, SIZES))
    (node,) = (row for row in report.rows if row["part"] == "node")
    assert (node["bytes"], node["accuracy"]) == (2 + HEADER_BYTES, 0.9)
    points = [row for row in report.rows if row["part"] == "point"]
    assert len(points) == 2 + 2 * len(SIZES)
    text = our_layouts.beyond(report.rows)
    assert "| head | 10 | 3 | 1.5 |" in text
    assert "| tactic | level 0 | 60.0 [" in text
    assert "| level 1 | " in text
    for block in text.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines() if line}) == 1


def test_a_part_of_the_bytes_is_a_setting_of_ours(cells: Cells) -> None:
    ours = cells.preset.ours.model_copy(update={"levels": 3})
    three = Cells(cells.preset.model_copy(update={"ours": ours, "shares": (0.75,)}))
    found = results(three, SIZES)
    (name,) = (name for name in found if "-cut0.75-" in name)
    assert name == "ours-l0-cut0.75-s1"
    cut = found[name].figures.model_copy(update={"bytes": (90,) * PHOTOS, "right": right(0.9)})
    found[name] = found[name].model_copy(update={"figures": cut})
    rows = beyond.beyond_rows(three, found)
    (point,) = (row for row in rows if row.get("setting") == "level 0, 75% sent")
    assert (point["bytes"], point["accuracy"], point["envelope"]) == (90, 0.9, True)
    assert compared(rows)["WebP"]["ratio_at"]["level 0, 75% sent"]["ratio"] == pytest.approx(
        420 / 90
    )


def test_half_of_the_bytes_is_a_row_for_each_level_with_layers(cells: Cells) -> None:
    assert not cells.shortened(1), "two levels have one layer each"
    ours = cells.preset.ours.model_copy(update={"levels": 3})
    three = Cells(cells.preset.model_copy(update={"ours": ours}))
    report = make_report("beyond", three, results(three, SIZES))
    (half,) = (row for row in report.rows if row["part"] == "half")
    assert (half["setting"], half["accuracy"], half["whole"]) == ("level 0", 0.5, 0.6)
    assert (half["bytes"], half["whole_bytes"]) == (60, 120)
    assert half["lost"] == pytest.approx(0.1)
    assert "| level 0 | 60 | 120 | 50.0 [" in our_layouts.beyond(report.rows)


def test_a_figure_in_both_formats(cells: Cells, tmp_path: Path) -> None:
    found = results(cells, SIZES)
    for name in ("fig2", "beyond"):
        names = {cell.name for cell in EXPERIMENTS[name].plan(cells)}
        mine = {key: found.get(key, found["jpeg-q5-s1"]) for key in names}
        rows = EXPERIMENTS[name].rows(cells, mine)
        write_figure(rows, PHOTOS, tmp_path / name)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        half = [{**rows[-1], "method": "tactic", "part": "half", "accuracy": 1.0}]
        write_figure([*rows, *half], PHOTOS, tmp_path / "same")
        same, plain = ((tmp_path / each).with_suffix(".png") for each in ("same", name))
        assert same.read_bytes() == plain.read_bytes(), "only heads that were tuned are drawn"
        svg = (tmp_path / f"{name}.svg").read_text()
        assert all(word in svg for word in ("JPEG", "tactic", "model", "bits per pixel"))


def test_sums_are_counted_by_layer() -> None:
    def macs(network: nn.Module, *shape: int) -> int:
        picture = torch.zeros(shape)
        call: Callable[[], torch.Tensor] = lambda: network(picture)  # noqa: E731
        return count_macs(network, call)

    assert macs(nn.Conv2d(3, 8, 3, stride=2, padding=1), 1, 3, 16, 16) == 8 * 3 * 9 * 64
    assert macs(nn.Conv2d(8, 8, 3, groups=8, padding=1), 1, 8, 4, 4) == 8 * 9 * 16
    assert macs(nn.ConvTranspose2d(8, 3, 2, stride=2), 1, 8, 4, 4) == 8 * 3 * 4 * 16
    assert macs(nn.Linear(10, 4), 1, 10) == 40
    codec = PaperCodec(channels=16)
    assert macs(codec.encoder, 1, 3, 32, 32) == 32 * 32 * (3 * 32 * 9 + 32 * 16 * 9 / 4)
