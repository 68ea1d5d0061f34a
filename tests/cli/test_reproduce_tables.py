"""Tables are made of results alone: means, gains photo by photo, and what speaks against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tactic.reproduce import layouts, notes, statistics
from tactic.reproduce.cell import Figures, Result
from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.experiment import EXPERIMENTS, as_markdown, make_report, read_report
from tactic.reproduce.plans import Cells
from tactic.reproduce.preset import Preset
from tactic.reproduce.run import run_experiment
from tactic_codec.packet import HEADER_BYTES


def result(name: str, right: str, size: int = 100, standard: bool = False) -> Result:
    sizes = (size,) * len(right)
    figures = Figures(
        right=right,
        bytes=sizes,
        bytes_stripped=tuple(each - 20 for each in sizes),
        bytes_standard=tuple(each + 300 for each in sizes) if standard else None,
        bits_per_pixel=8 * size / 1024,
        psnr_db=20.0,
    )
    return Result(
        cell=name,
        digest="0" * 12,
        configuration={},
        figures=figures,
        wall_s=36.0,
        resumed=False,
        device="cpu, 1 threads",
        machine="a machine",
        commit="abc",
        date="2026-01-01",
    )


def results(found: dict[str, str], preset: Preset, sizes: dict[str, int]) -> dict[str, Result]:
    """A result for every cell of both tables; ``found`` and ``sizes`` by the start of names."""

    def of(table: dict[str, str] | dict[str, int], name: str) -> str | int:
        return next(value for start, value in table.items() if name.startswith(start))

    plans = (EXPERIMENTS[name].plan(Cells(preset)) for name in ("table1", "table2"))
    names = {cell.name for plan in plans for cell in plan}
    return {
        name: result(name, str(of(found, name)), int(of(sizes, name)), name.startswith("jpeg"))
        for name in names
    }


def test_means_are_over_seeds_and_intervals_over_photos() -> None:
    found = statistics.accuracy([result("a", "1100"), result("b", "1000")])
    assert found["accuracy"] == pytest.approx(3 / 8)
    assert found["accuracy_sd"] == pytest.approx(0.25 / 2**0.5)
    low, high = found["accuracy_interval"]
    assert 0 <= low < 3 / 8 < high <= 1
    assert statistics.accuracy([result("a", "1100")])["accuracy_sd"] is None


def test_a_gain_is_paired() -> None:
    ours, theirs = result("a", "11110000" * 20), result("b", "11100000" * 20)
    found = statistics.gain([ours], [theirs])
    assert found["gain"] == pytest.approx(1 / 8)
    low, high = found["gain_interval"]
    assert 0 < low < 1 / 8 < high
    unpaired = statistics.accuracy([ours])["accuracy_interval"]
    assert high - low < unpaired[1] - unpaired[0]
    assert statistics.gain([ours], [ours])["gain_interval"] == [0, 0]


def test_a_gain_at_the_same_bytes() -> None:
    fewer, more = [result("a", "1000", 100)], [result("b", "1110", 400)]

    def gained(size: int) -> list[float]:
        found = statistics.gain_at_same_bytes([result("c", "1111", size)], fewer, more)
        return [found["gain"], found["in_their_favour"]] if found else []

    assert gained(200) == pytest.approx([0.5, False])
    assert gained(100) == pytest.approx([0.75, False])
    assert gained(50) == pytest.approx([0.75, True])
    assert gained(500) == []


GOOD = {"none": "1111", "jpeg": "1100", "aware": "1110", "agnostic": "1000", "": "1111"}
SIZES = {"none": 2000, "jpeg": 500, "aware": 200, "agnostic-b0": 300, "agnostic": 100, "": 150}


def test_table1_stands_beside_the_papers(toy_preset: Preset) -> None:
    report = make_report("table1", Cells(toy_preset), results(GOOD, toy_preset, SIZES))
    rows = {row["method"]: row for row in report.rows}
    assert list(rows) == ["none", "none, head tuned on", "JPEG", "paper's model"]
    assert rows["JPEG"]["published"] == {"accuracy": 0.582, "bits_per_pixel": 0.3010}
    assert rows["JPEG"]["bytes_standard"] == 800
    assert rows["paper's model"]["bytes_stripped"] == 180
    assert report.notes == ()
    text = layouts.table1(report.rows)
    assert "| paper's model | β = 1/32 | 75.0 [" in text
    assert "| 58.0 | 0.2159 |" in text
    assert "| JPEG | quality 5 | 50.0 [" in text
    assert "| 500 (800) |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_table2_has_gains(toy_preset: Preset) -> None:
    report = make_report("table2", Cells(toy_preset), results(GOOD, toy_preset, SIZES))
    found = {(row["method"], row["setting"]): row for row in report.rows}
    plain = found["agnostic", "β = 0"]
    assert plain["gain"] == pytest.approx(0.5)
    assert plain["seeds"] == 2
    assert plain["published"] == {"accuracy": 0.538}
    longer = found["agnostic, head tuned longer", "β = 1/32"]
    assert (longer["gain"], longer["seeds"]) == (pytest.approx(0.5), 1)
    assert report.rows[-1]["at_same_bytes"]["gain"] == pytest.approx(0.5)
    text = as_markdown(report)
    assert "| agnostic | 0 | 25.0 ± 0.0 [" in text
    assert "Gain of aware at β = 1/32 over agnostic, at the same bytes, interpolated" in text
    assert "over agnostic with a head tuned longer, first seed, at the same bytes" in text
    assert text.endswith("Preset `toy`, 4 photos, cpu, 1 threads, commit abc, 0.1 hours.\n")


def test_what_speaks_against_is_written_down(toy_preset: Preset) -> None:
    bad = GOOD | {"aware": "1000", "agnostic": "1110"}
    first = make_report("table1", Cells(toy_preset), results(bad, toy_preset, SIZES | {"jpeg": 90}))
    assert first.notes == (
        "The paper's model at β = 1/32 loses to JPEG at quality 5: 25.0 % at 200 bytes against "
        "50.0 % at 90 bytes.",
    )
    second = make_report("table2", Cells(toy_preset), results(bad, toy_preset, SIZES))
    assert any("did harm" in note or "No gain" in note for note in second.notes)
    assert all(note in as_markdown(second) for note in second.notes)
    wide = results(bad, toy_preset, SIZES | {"aware": 900})
    assert "nothing can be said" in make_report("table2", Cells(toy_preset), wide).notes[0]


def test_harm_and_no_gain_differ() -> None:
    def note(interval: Sequence[float]) -> str:
        row = {"method": "agnostic", "setting": "β = 0", "gain": -0.1, "gain_interval": interval}
        return notes.of_table2([row])[0]

    assert note([-0.2, -0.01]) == (
        "Training with the task did harm against agnostic at β = 0: -10.0 points."
    )
    assert note([-0.2, 0.1]).startswith("No gain of training with the task is shown")


def segmented(hits: list[list[int]], truth: list[list[int]], answered: list[list[int]]) -> Result:
    areas = {"hits": hits, "truth": truth, "answered": answered}
    figures = Figures.model_validate(areas | {"bytes": [100] * len(hits)})
    return result("x", "1").model_copy(update={"figures": figures})


def test_segmentation_is_of_all_photos_together() -> None:
    one = segmented([[5, 1, 0], [0, 4, 0]], [[5, 5, 0], [0, 10, 0]], [[9, 1, 0], [6, 4, 0]])
    found = statistics.segmentation(one)
    assert found["accuracy"] == one.figures.accuracy == pytest.approx(10 / 20)
    # Class 0: 5 of 5 + 15 − 5; class 1: 5 of 15 + 5 − 5; nobody has seen class 2.
    assert found["miou"] == pytest.approx((5 / 15 + 5 / 15) / 2)
    low, high = found["miou_interval"]
    assert low <= found["miou"] <= high
    best = segmented([[5, 5, 0], [0, 10, 0]], [[5, 5, 0], [0, 10, 0]], [[5, 5, 0], [0, 10, 0]])
    gained = statistics.segmentation_gain(best, one)
    assert gained["miou_gain"] == pytest.approx(1 - 1 / 3)
    assert gained["accuracy_gain"] == pytest.approx(0.5)
    assert gained["miou_gain_interval"][0] > 0


@pytest.mark.parametrize(
    ("interval", "words"),
    [([-0.2, -0.1], "did harm by Dice"), ([-0.2, 0.1], "No gain"), ([0.1, 0.2], "")],
)
def test_notes_of_segmentation(interval: list[float], words: str) -> None:
    row = {"loss": "Dice", "miou_gain": interval[0], "miou_gain_interval": interval}
    found = notes.of_table3([{"loss": "Dice"}, row])
    assert words in "".join(found)
    assert len(found) == bool(words)


def test_table3_from_scenes_to_files(toy_preset: Preset, tmp_path: Path) -> None:
    roads = toy_preset.roads.model_copy(update={"gammas": (0.5,)})
    preset = toy_preset.model_copy(update={"roads": roads})
    run_experiment("table3", preset, tmp_path, start=None, cell=None, listing=False, as_json=True)
    report = read_report(tmp_path / "table3-toy.json")
    assert report.pictures == 3
    assert [row["method"] for row in report.rows] == [
        "none",
        "none, head tuned on",
        "agnostic, β = 1/1024",
        "agnostic",
        "aware",
    ]
    for row in report.rows:
        low, high = row["miou_interval"]
        assert 0 <= low <= high <= 1
        assert 0 < row["miou"] < 1
        assert row["bytes"] > HEADER_BYTES
    assert report.rows[-1]["published"] == {"accuracy": 0.758, "miou": 0.285}
    made = {cell.cell for cell in report.cells}
    assert {"codec-aware-b0-both-s1", "aware-b0-both-s1", "codec-agnostic-b0-s1"} <= made
    assert "| aware | both | " in (tmp_path / "table3-toy.md").read_text()


def test_segmentation_at_the_same_bytes_lies_between_two_points() -> None:
    def result(pixels: int, size: int) -> Result:
        found = segmented([[pixels, 0]], [[10, 0]], [[10, 0]])
        figures = found.figures.model_copy(update={"bytes": (size,)})
        return found.model_copy(update={"figures": figures})

    fewer, more = result(4, 100), result(8, 400)
    gained = statistics.segmentation_gain_at_same_bytes
    halfway = gained(result(7, 200), fewer, more)
    assert halfway and not halfway["in_their_favour"]
    assert halfway["accuracy_gain"] == pytest.approx(0.7 - (0.4 + 0.8) / 2)
    assert halfway["miou_gain"] == pytest.approx(7 / 13 - (4 / 16 + 8 / 12) / 2)
    below = gained(result(7, 50), fewer, more)
    assert below and below["in_their_favour"]
    assert below["accuracy_gain"] == pytest.approx(0.3)
    assert gained(result(7, 500), fewer, more) is None


@pytest.fixture(scope="module")
def run(toy_preset: Preset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both tables as the command makes them, with one seed."""
    out = tmp_path_factory.mktemp("reproduce")
    preset = toy_preset.model_copy(update={"seeds": (1,)})
    options = {"start": None, "cell": None, "listing": False, "as_json": True}
    for name in ("table1", "table2"):
        run_experiment(name, preset, out, **options)  # type: ignore[arg-type]
    return out


def test_both_tables_from_photos_to_files(run: Path, toy_preset: Preset) -> None:
    first, second = (read_report(run / f"{name}-toy.json") for name in ("table1", "table2"))
    assert (first.pictures, first.preset["name"]) == (12, "toy")
    assert (run / "table1-toy.md").read_text() == as_markdown(first)
    made = {cell.cell: cell for cell in (*first.cells, *second.cells)}
    assert {"codec-drawn-s1", "none-s1", "jpeg-q5-s1", "agnostic-b0-patient-s1"} <= made.keys()
    learned = made["aware-b1_32-s1"].figures
    assert learned.bytes and learned.bytes_stripped and learned.bits_per_pixel_density
    assert len(learned.right or "") == len(learned.bytes) == 12
    assert all(
        a - b == HEADER_BYTES for a, b in zip(learned.bytes, learned.bytes_stripped, strict=True)
    )
    assert made["aware-b0-s1"].figures.bits_per_pixel_density is None
    shared = {cell.cell for cell in first.cells} & {cell.cell for cell in second.cells}
    assert {"none-s1", "none-tuned-s1", "codec-drawn-s1", "aware-b1_32-s1"} <= shared
    files = {path.name for path in run.glob("*-s1-*.json")}
    assert len(files) == len(made), "a cell of both tables is done once"
    rows = {row["method"] for row in second.rows}
    assert rows == {
        "none",
        "none, head tuned on",
        "agnostic",
        "agnostic, head tuned longer",
        "aware",
    }


def test_listing_and_one_cell(
    run: Path, toy_preset: Preset, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = toy_preset.model_copy(update={"seeds": (1,)})
    run_experiment("table1", preset, run, start=None, cell=None, listing=True, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert all(row["done"] and row["minutes"] >= 0 for row in rows)
    run_experiment(
        "table1", toy_preset, run, start=None, cell="none-s1", listing=False, as_json=True
    )
    assert json.loads(capsys.readouterr().out)["cell"] == "none-s1"
    run_experiment("table2", toy_preset, run, start=None, cell=None, listing=True, as_json=False)
    assert "13 of 24 done" in capsys.readouterr().out


def test_files_that_are_no_results(toy_preset: Preset, tmp_path: Path) -> None:
    with pytest.raises(ReproduceError, match=r"table1\.json: .* run its experiment first"):
        read_report(tmp_path / "table1.json")
    (tmp_path / "table1.json").write_text("{}")
    with pytest.raises(ReproduceError, match="not a result of tactic reproduce; leave it out"):
        read_report(tmp_path / "table1.json")
    text = make_report("table1", Cells(toy_preset), results(GOOD, toy_preset, SIZES)).as_json()
    (tmp_path / "table1.json").write_text(text.replace('"table1"', '"table9"'))
    with pytest.raises(ReproduceError, match="no experiment 'table9' here; leave it out"):
        read_report(tmp_path / "table1.json")
