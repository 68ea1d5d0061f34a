"""Cells are named by all that they depend on, done once, gone on with, and treated alike."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from tactic.evaluate.errors import OutputError
from tactic.reproduce import command, presets
from tactic.reproduce.cell import Cell, Figures, Place
from tactic.reproduce.codecs import Aware, Codec
from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.estimate import estimate
from tactic.reproduce.experiment import EXPERIMENTS
from tactic.reproduce.gallery import Photos, link_classes, open_gallery
from tactic.reproduce.heads import CleanHead, fresh_head, weights_file
from tactic.reproduce.lab import Lab, with_bases
from tactic.reproduce.learned import Learned
from tactic.reproduce.ours import OurCodec
from tactic.reproduce.plans import Cells
from tactic.reproduce.preset import HeadChoice, Preset
from tactic.reproduce.run import writable
from tactic_train import checkpoint
from tactic_train.errors import DataError
from tactic_train.heads import make_head
from tactic_train.tune import save_weights

WEIGHTS = "weights"


class Base(Cell):
    """Leaves a file and counts how often it ran."""

    files: ClassVar[tuple[str, ...]] = (WEIGHTS,)
    runs: ClassVar[list[str]] = []
    found: ClassVar[str | None] = None
    size: int = 1

    @property
    def name(self) -> str:
        return f"base-s{self.seed}"

    def images(self) -> dict[str, int]:
        return {"drawn": 120}

    def run(self, place: Place) -> Figures:
        self.runs.append(self.key)
        (place.folder(self) / WEIGHTS).touch()
        return Figures(right=self.found)


class Top(Cell):
    """Builds on it, and fails while ``broken``."""

    broken: ClassVar[bool] = False
    base: Base

    @property
    def name(self) -> str:
        return f"top-s{self.seed}"

    def images(self) -> dict[str, int]:
        return {"tuned": 90}

    def run(self, place: Place) -> Figures:
        assert (place.folder(self.base) / WEIGHTS).exists()
        (place.folder(self) / "half").touch()
        if Top.broken:
            raise KeyboardInterrupt
        return Figures(right="110")


@pytest.fixture
def top() -> Top:
    Base.runs.clear()
    return Top(seed=1, base=Base(seed=1))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, lambda line: None)


def test_a_digest_is_of_everything_below() -> None:
    digests = {
        Top(seed=seed, base=Base(seed=below, size=size)).digest
        for seed in (1, 2)
        for below in (1, 2)
        for size in (1, 2)
    }
    assert len(digests) == 8
    assert Top(seed=1, base=Base(seed=1)).digest == Top(seed=1, base=Base(seed=1, size=1)).digest


def test_what_is_done_is_not_done_again(top: Top, lab: Lab) -> None:
    assert lab.result(top) is None
    first = lab.make(top)
    assert first.figures.accuracy == pytest.approx(2 / 3)
    assert Base.runs == [top.base.key]
    assert lab.make(top) == first == Lab(lab.out, lab.say).make(top)
    assert Base.runs == [top.base.key]
    lab.make(Top(seed=1, base=Base(seed=1, size=2)))
    assert len(Base.runs) == 2, "another configuration is another cell"


def test_results_travel_without_weights(top: Top, lab: Lab) -> None:
    lab.make(top)
    (lab.folder(top.base) / WEIGHTS).unlink()
    lab.make(top)
    assert len(Base.runs) == 1, "a result is enough for whoever only reads it"
    lab.make(Top(seed=2, base=top.base))
    assert len(Base.runs) == 2, "who builds on it needs its weights"


def test_a_cell_that_was_killed_is_gone_on_with(
    top: Top, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Top, "broken", True)
    with pytest.raises(KeyboardInterrupt):
        lab.make(top)
    assert lab.result(top) is None
    monkeypatch.setattr(Top, "broken", False)
    assert lab.make(top).resumed
    assert Base.runs == [top.base.key]


def test_weights_made_again_leave_a_result_as_it_was(
    top: Top, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others were built on it; on another machine the same training ends otherwise."""
    said: list[str] = []
    lab.say = said.append
    first = lab.make(top.base)
    (lab.folder(top.base) / WEIGHTS).unlink()
    monkeypatch.setattr(Base, "found", "0011")
    lab.make(top)
    assert len(Base.runs) == 2
    assert lab.result(top.base) == first
    assert any("another machine?" in line for line in said)


def test_two_processes_do_a_cell_once(top: Top, lab: Lab) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: lab.make(top).as_json(), range(4)))
    assert len(found) == len(Base.runs) == 1


def test_a_training_that_was_stopped_is_no_codec(toy_preset: Preset, tmp_path: Path) -> None:
    lab = Lab(tmp_path, lambda line: None)
    drawn = Cells(toy_preset)._drawn(1)
    lab.make(drawn)
    assert drawn.is_whole(lab)
    path = lab.folder(drawn) / checkpoint.NAME
    state = torch.load(path, weights_only=True)
    torch.save(state | {"step": state["step"] - 1}, path)
    assert not drawn.is_whole(lab)


def test_a_full_disk_is_named(top: Top, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tactic.reproduce.lab.replace_file", full)
    with pytest.raises(OutputError, match="No space left on device; make room"):
        lab.make(top)


def test_a_damaged_result_is_named(top: Top, lab: Lab) -> None:
    lab.make(top)
    (lab.out / f"{top.key}.json").write_text("{}")
    with pytest.raises(ReproduceError, match=rf"{top.key}\.json: .* delete it"):
        lab.make(top)


def test_bases_come_first_and_once(top: Top) -> None:
    other = Top(seed=2, base=top.base)
    assert [cell.name for cell in with_bases([top, other])] == ["base-s1", "top-s1", "top-s2"]


def test_estimates_learn_from_what_is_done(top: Top, lab: Lab) -> None:
    preset = presets.CPU
    open_rows = estimate(lab, with_bases([top]), preset)
    assert [(row.name, row.done) for row in open_rows] == [("base-s1", False), ("top-s1", False)]
    assert open_rows[0].minutes == pytest.approx(120 / preset.images_per_s["drawn"] / 60)
    lab.make(top)
    path = lab.out / f"{top.key}.json"
    taken = lab.make(top).model_copy(update={"wall_s": 300.0})
    path.write_text(taken.as_json())
    rows = estimate(lab, [top, Top(seed=2, base=top.base)], preset)
    assert [row.minutes for row in rows] == pytest.approx([5, 5])


@pytest.mark.parametrize("preset", presets.PRESETS.values(), ids=presets.PRESETS)
def test_all_that_is_compared_is_tuned_alike(preset: Preset) -> None:
    cells = Cells(preset)
    compared = [
        cell
        for name, each in EXPERIMENTS.items()
        for cell in each.plan(cells)
        if name not in {"table3", "beyond"}
    ]
    tuned = [cell for cell in compared if hasattr(cell, "tune")]
    assert len(tuned) > 10
    for cell in tuned:
        if isinstance(cell, Learned) and cell.patient:
            longer = preset.train.steps + preset.tune.steps
            assert cell.tune == preset.tune.model_copy(update={"steps": longer})
        else:
            assert cell.tune is preset.tune
        assert cell.clean == cells.clean(cell.seed)  # type: ignore[attr-defined]
    codecs = [cell.codec for cell in tuned if isinstance(cell, Learned)]
    theirs = [codec for codec in codecs if not isinstance(codec, OurCodec)]
    assert all(codec.train is preset.train for codec in theirs)
    assert {codec.drawn.key for codec in theirs} == {cells._drawn(s).key for s in preset.seeds}
    assert {cell.name for cell in EXPERIMENTS["table2"].plan(cells)} > {
        f"{method}-b{beta}-s{seed}"
        for method in ("aware", "agnostic")
        for beta in ("0", "1_32")
        for seed in preset.seeds
    }


@pytest.mark.parametrize("preset", presets.PRESETS.values(), ids=presets.PRESETS)
def test_all_that_segments_is_tuned_alike(preset: Preset) -> None:
    compared = EXPERIMENTS["table3"].plan(Cells(preset))
    assert len({cell.digest for cell in compared}) == 5 * len(preset.roads.gammas)
    for cell in compared:
        clean = cell if isinstance(cell, CleanHead) else cell.clean  # type: ignore[attr-defined]
        assert clean.photos is preset.roads.photos
        assert clean.gamma in preset.roads.gammas
        if cell is not clean:
            assert cell.tune is preset.roads.tune  # type: ignore[attr-defined]
    codecs = {cell.codec.key for cell in compared if isinstance(cell, Learned)}
    assert len(codecs) == 2 + len(preset.roads.gammas), "an agnostic codec knows no loss"


@pytest.mark.parametrize("preset", presets.PRESETS.values(), ids=presets.PRESETS)
def test_names_say_which_cell_it_is(preset: Preset) -> None:
    for each in EXPERIMENTS.values():
        cells = with_bases(each.plan(Cells(preset)))
        assert len({cell.name for cell in cells}) == len({cell.key for cell in cells})


def test_presets_are_those_of_the_command_line() -> None:
    assert tuple(presets.PRESETS) == command.PRESETS


def test_a_task_is_all_that_aware_training_adds(toy_preset: Preset, lab: Lab) -> None:
    cells = Cells(toy_preset)
    aware, agnostic = cells.aware(1.0, 1).codec, cells.agnostic(1.0, 1).codec
    assert isinstance(aware, Aware)
    ours, theirs = (codec.plan(lab).model_dump() for codec in (aware, agnostic))
    assert ours["start"] == theirs["start"] == lab.folder(aware.drawn)
    stage, other = ours["stage"][0], theirs["stage"][0]
    changed = {name for name, value in stage.items() if value != other[name]}
    assert changed == {"alpha", "task", "head", "head_px"}
    assert (stage["alpha"], stage["distortion"], stage["beta"]) == (1, 1, 1)


def test_a_bundle_can_be_the_start(toy_preset: Preset) -> None:
    bundle = Path(__file__).parents[2] / "bundles/photo1000"
    begun = Cells(toy_preset, bundle).ours(1)[0].codec
    manifest = (bundle / "manifest.json").read_bytes()
    assert begun.configuration()["start"] == hashlib.sha256(manifest).hexdigest()


def test_workers_change_no_digest_and_a_start_counts_by_content(
    toy_preset: Preset, tmp_path: Path
) -> None:
    more = toy_preset.model_copy(update={"workers": 4})

    def codec(preset: Preset, start: Path | None = None) -> Codec:
        return Cells(preset, start).ours(1)[0].codec

    assert codec(toy_preset).digest == codec(more).digest
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"weights")
    begun = [codec(toy_preset, tmp_path / name).digest for name in ("a", "b")]
    assert begun[0] == begun[1] != codec(toy_preset).digest
    with pytest.raises(ReproduceError, match=r"nowhere: .* with --start"):
        assert codec(toy_preset, tmp_path / "nowhere").digest


def test_photos_are_the_same_every_time(toy_preset: Preset) -> None:
    photos = toy_preset.photos.model_copy(update={"tuned_on": 10, "judged_by": 5})
    first, second = open_gallery(photos), open_gallery(photos)
    assert first.train.shape == (10, 32, 32, 3)
    assert first.test.shape == (5, 32, 32, 3)
    assert (first.train == second.train).all()
    assert (first.test_labels == second.test_labels).all()
    assert set(first.test_labels) <= {0, 1}
    assert first.stored_bits_per_pixel == pytest.approx(8 * sum(first.stored_bytes) / (5 * 1440))


def test_photos_that_do_not_fit(toy_preset: Preset) -> None:
    def fails(words: str, **changes: object) -> None:
        with pytest.raises(ReproduceError, match=words):
            open_gallery(toy_preset.photos.model_copy(update=changes))

    fails("2 classes, expected are 3; use the data set", classes=3)
    fails("no photo of val or test begins with ILSVRC", match="ILSVRC")


def test_windows_of_road_scenes(toy_preset: Preset) -> None:
    photos = toy_preset.roads.photos
    first, second = open_gallery(photos), open_gallery(photos)
    assert first.train.shape == (8, 32, 32, 3)
    assert first.train_labels.shape == (8, 32, 32)
    assert first.test.shape == (3, 32, 32, 3)
    assert (first.train == second.train).all()
    assert {-1, 0, 3} == set(np.unique(first.test_labels))
    assert first.class_weights and len(first.class_weights) == len(first.classes) == 11
    sky = first.test[first.test_labels == 0]
    assert (sky[:, 0] > sky[:, 2]).mean() < 0.05, "masks are cut where their photos are"


def test_the_first_classes_of_a_large_set_are_linked(two_classes: Path, tmp_path: Path) -> None:
    found = link_classes(two_classes / "train", tmp_path / "linked", 2, 0.75)
    more = two_classes / "train/disc/more.png"
    shutil.copy(next((two_classes / "train/disc").iterdir()), more)
    try:
        later = link_classes(two_classes / "train", tmp_path / "linked", 2, 0.75)
    finally:
        more.unlink()
    assert later != found
    names = [{path.name for path in (later / part / "disc").iterdir()} for part in ("train", "val")]
    assert not names[0] & names[1], "no photo is in both parts"
    assert len(list((found / "train/disc").iterdir())) == 9
    assert len(list((found / "val/disc").iterdir())) == 3
    assert link_classes(two_classes / "train", tmp_path / "linked", 2, 0.75) == found
    photos = Photos(
        source=f"imagefolder:{found}", match="", classes=2, side_px=32, tuned_on=99, judged_by=99
    )
    assert len(open_gallery(photos).train) == 18
    with pytest.raises(ReproduceError, match="2 class folders, 50 are needed"):
        link_classes(two_classes / "train", tmp_path / "more", 50, 0.8)


def test_a_cell_that_is_not_there(fails: Callable[..., None]) -> None:
    words = ("no cell 'nothing'", "--list shows")
    fails(7, words, "reproduce", "table1", "--json", "--cell", "nothing")


def test_data_are_looked_for_before_the_work(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TACTIC_DATA", "IMAGENET", "INCEPTION_V3"):
        monkeypatch.delenv(name, raising=False)
    paper = presets.PAPER
    with pytest.raises(DataError, match="TACTIC_DATA is not set; export"):
        lab.check(presets.CPU.photos, presets.CPU.head)
    with pytest.raises(DataError, match="IMAGENET is not set; export"):
        lab.check(paper.photos, paper.head)
    with pytest.raises(ReproduceError, match="INCEPTION_V3 is not set: export"):
        weights_file(paper.head)
    monkeypatch.setenv("INCEPTION_V3", "nowhere.pth")
    with pytest.raises(ReproduceError, match=r"nowhere\.pth: no such file"):
        weights_file(paper.head)


def test_published_weights_get_a_new_last_layer(tmp_path: Path) -> None:
    published = make_head("efficientnet_lite0", 5)
    save_weights(published, tmp_path / "five.pt")
    choice = HeadChoice(name="efficientnet_lite0", weights=str(tmp_path / "five.pt"))
    own = published.state_dict()
    found = fresh_head(choice, "abc", tmp_path).state_dict()
    changed = {name for name, value in found.items() if not torch.equal(value, own[name])}
    assert changed == {"net._fc.weight", "net._fc.bias"}
    assert len(found["net._fc.bias"]) == 3
    (tmp_path / "five.pt").write_bytes(b"none")
    with pytest.raises(ReproduceError, match=r"five\.pt: not a state dictionary"):
        fresh_head(choice, "abc", tmp_path)


def test_a_head_can_begin_with_the_published_rows_of_its_classes(tmp_path: Path) -> None:
    choice = HeadChoice(name="efficientnet_lite0", published_rows=True)
    picture = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        asked = fresh_head(choice, ("n02086240", "goldfish"), tmp_path)(picture, 64)
        whole = make_head("efficientnet_lite0")(picture, 64)
    torch.testing.assert_close(asked, whole[:, [155, 1]])
    with pytest.raises(ReproduceError, match="class a: no published row"):
        fresh_head(choice, ("n02086240", "a"), tmp_path)


def test_processes_may_open_one_folder_at_the_same_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(writable, [tmp_path / "out"] * 500)) == {tmp_path / "out"}
    assert not list((tmp_path / "out").iterdir())
