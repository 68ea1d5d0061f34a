"""Photos alone: what kind they are, and which recipe they get."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tactic_train import checkpoint, recipe
from tactic_train.config import Model, TrainConfig
from tactic_train.errors import CheckpointError, DataError, HeadError
from tactic_train.run import train_from_file

Lines = list[str]
SHIPPED = Path(__file__).parents[2] / "bundles/photo1000"
SMALL = "torchvision:mobilenet_v3_small"
SHORT = """
name = "short"
batch = 4
checkpoint_every = 2
[model]
arch = "paper"
channels = 4
levels = 3
[head]
input_px = 32
[[stage]]
steps = 2
learning_rate = 1e-3
distortion = 0.0
beta = 0.0
alpha = 1.0
task = "labels"
head = "alone"
[[stage]]
steps = 2
learning_rate = 1e-3
distortion = 100.0
beta = 0.1
alpha = 1.0
task = "both"
"""


def loose(photos: Path, folder: Path) -> Path:
    """The photos of one class, in no folder of their own."""
    return Path(shutil.copytree(photos / "train/circle", folder))


def test_class_folders_are_classes(photos: Path, photos_zip: Path) -> None:
    for path in (photos, photos / "train", photos_zip):
        assert recipe.name_kind(str(path)) == f"imagefolder:{path}"


def test_other_folders_are_not(photos: Path, tmp_path: Path) -> None:
    plain = loose(photos, tmp_path / "plain")
    one = loose(photos, tmp_path / "one/holiday").parent
    splits = loose(photos, tmp_path / "splits/train").parent
    loose(photos, tmp_path / "splits/val")
    for path in (plain, one, splits):
        assert recipe.name_kind(str(path)) == f"unlabelled:{path}"


def test_a_kind_that_is_given_stays(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe.name_kind(f"unlabelled:{photos}") == f"unlabelled:{photos}"
    monkeypatch.setenv("PHOTOS", str(photos))
    assert recipe.name_kind("$PHOTOS/train") == "imagefolder:$PHOTOS/train"


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image found"):
        recipe.name_kind(str(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        recipe.name_kind(str(tmp_path / "absent"))


@pytest.mark.parametrize("head", ["efficientnet_lite0", SMALL])
def test_a_head_that_is_fresh_learns_the_classes_first(photos: Path, head: str) -> None:
    said: Lines = []
    config = recipe.choose((f"imagefolder:{photos}",), head, said.append)
    assert (config.name, config.head.name, config.head.classes) == ("own-classes", head, 2)
    assert config.head.input_px == 160
    assert [stage.head for stage in config.stage] == ["alone", "frozen", "frozen", "frozen"]
    assert said == [
        "photos: 12 to train on, 4 to judge by, 2 classes (circle, stripes)",
        f"recipe own-classes: {config.steps} steps; head {head} learns the classes first",
    ]


def test_a_head_that_knows_its_classes_teaches(photos: Path) -> None:
    said: Lines = []
    source = f"unlabelled:{photos}"
    config = recipe.choose((source,), "efficientnet_lite0", said.append)
    assert (config.name, config.head.classes, config.tunes_head) == ("published-head", 1000, False)
    assert config.data.sources == (source,)
    assert not any(stage.needs_labels for stage in config.stage)
    assert said[0] == "photos: 12 to train on, 4 to judge by, no classes"
    assert said[1].endswith("head efficientnet_lite0 stays as it is")


def test_a_head_with_a_size_of_its_own_keeps_it(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def small(classes):\n"
        "    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))\n"
        "    net.input_px = 96\n"
        "    return net\n"
    )
    monkeypatch.chdir(tmp_path)
    config = recipe.choose((f"imagefolder:{photos}",), "mine:small", print)
    assert config.head.input_px is None


def test_a_fresh_head_cannot_learn_from_photos_without_classes(photos: Path) -> None:
    with pytest.raises(HeadError, match="sort them into a folder for each class"):
        recipe.choose((f"unlabelled:{photos}",), SMALL, print)


def test_masks_are_for_heads_that_segment(photos: Path, scenes: Path) -> None:
    for source, head in (
        (f"camvid:{scenes}", "efficientnet_lite0"),
        (f"imagefolder:{photos}", "lraspp_efficientnet_lite0"),
    ):
        with pytest.raises(HeadError, match="cannot learn from"):
            recipe.choose((source,), head, print)


def test_many_classes_are_not_all_listed(photos: Path, tmp_path: Path) -> None:
    for number in range(11):
        loose(photos, tmp_path / f"class{number:02d}")
    said: Lines = []
    recipe.choose((f"imagefolder:{tmp_path}",), SMALL, said.append)
    assert said[0].endswith("11 classes (" + ", ".join(f"class{n:02d}" for n in range(8)) + ", …)")


def test_from_photos_alone_to_figures(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "short.toml").write_text(SHORT)
    monkeypatch.setattr(recipe, "OWN_CLASSES", tmp_path / "short.toml")
    out = tmp_path / "out"
    path = train_from_file(None, out, sources=(str(photos),), head=SMALL, seed=5)
    assert checkpoint.read(path)["step"] == 4
    written = TrainConfig.model_validate_json((out / "config.json").read_text())
    assert (written.seed, written.data.sources) == (5, (f"imagefolder:{photos}",))
    levels = json.loads((out / "metrics.json").read_text())["levels"]
    assert [(level["labelled"], level["head_px"]) for level in levels] == [(4, 32)] * 3
    shown = capsys.readouterr().out
    assert "recipe short: 4 steps" in shown and "head alone" in shown


def test_a_codec_that_draws_goes_on(photos: Path, tmp_path: Path) -> None:
    said: Lines = []
    source = (f"imagefolder:{photos}",)
    fresh = recipe.choose(source, SMALL, said.append)
    config = recipe.choose(source, SMALL, said.append, SHIPPED)
    model = config.model
    assert (model.arch, model.channels, model.levels) == ("lapped", 64, 5)
    assert config.stage == tuple(stage for stage in fresh.stage if stage.alpha)
    assert [stage.head for stage in config.stage] == ["alone", "frozen", "frozen"]
    assert said[-1].endswith(f"learns the classes first, codec begins with {SHIPPED}")
    run = tmp_path / "run"
    run.mkdir()
    own = config.model_copy(update={"model": Model(arch="block", channels=8, levels=2)})
    (run / "config.json").write_text(own.model_dump_json())
    assert recipe.choose(source, SMALL, said.append, run).model == own.model
    with pytest.raises(CheckpointError, match="name the folder of a training run"):
        recipe.choose(source, SMALL, said.append, tmp_path / "absent")


def test_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give --data PHOTOS or a configuration file"):
        train_from_file(None, tmp_path)


def test_a_file_keeps_its_stages_where_photos_and_head_are_given(
    toy: Callable[..., TrainConfig],
    as_toml: Callable[[TrainConfig], str],
    photos: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "train.toml").write_text(as_toml(toy(head={"name": "nobody", "classes": 2})))
    out = tmp_path / "out"
    file, sources = tmp_path / "train.toml", (str(photos / "train"),)
    start = train_from_file(file, tmp_path / "start", sources=sources, head=SMALL).parent
    train_from_file(file, out, sources=sources, head=SMALL, start=start)
    written = TrainConfig.model_validate_json((out / "config.json").read_text())
    assert (written.name, written.head.name, written.start) == ("toy", SMALL, start)
    assert written.data.sources == (f"imagefolder:{photos / 'train'}",)
