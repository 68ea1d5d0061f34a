"""From a file to a checkpoint, figures and curves; every mistake in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from tactic_codec.config import load
from tactic_codec.errors import ConfigError
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_train import checkpoint
from tactic_train.config import MOST_LEVELS, Model, TrainConfig
from tactic_train.loop import train
from tactic_train.road_scenes import CAMVID
from tactic_train.run import train_from_file, write_metrics

Toy = Callable[..., TrainConfig]
AsToml = Callable[[TrainConfig], str]
EXPERIMENTS = sorted((Path(__file__).parents[2] / "train/experiments").glob("*.toml"))


@pytest.fixture
def config_path(toy: Toy, as_toml: AsToml, tmp_path: Path) -> Path:
    path = tmp_path / "train.toml"
    model = {"arch": "paper", "channels": 4, "levels": 2}
    path.write_text(as_toml(toy(model=model)))
    return path


def test_from_a_file_to_figures(
    config_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    path = train_from_file(config_path, out)
    assert checkpoint.read(path)["step"] == 4
    levels = json.loads((out / "metrics.json").read_text())["levels"]
    assert [metrics["level"] for metrics in levels] == [0, 1]
    for metrics in levels:
        assert (metrics["images"], metrics["labelled"], metrics["head_px"]) == (4, 4, 224)
        assert 0 <= metrics["accuracy"] <= 1
        assert metrics["bytes_per_image"] > 0
    assert list((out / "tensorboard").iterdir())
    shown = capsys.readouterr().out
    assert "step 4/4" in shown and "L_T" in shown and "images/s" in shown
    assert "measuring on 4 images" in shown
    before = path.read_bytes()
    assert train_from_file(config_path, out).read_bytes() == before


def test_overrides(config_path: Path, photos: Path, tmp_path: Path) -> None:
    source = f"imagefolder:{photos / 'train'}"
    train_from_file(config_path, tmp_path / "out", sources=(source,), seed=9)
    written = TrainConfig.model_validate_json((tmp_path / "out/config.json").read_text())
    assert (written.seed, written.data.sources) == (9, (source,))


@pytest.mark.parametrize(
    ("line", "wrong", "message"),
    [
        ("batch = 4", "batch_size = 4", "train.toml:4: batch_size: unknown key"),
        (
            "crop_px = 32",
            "crop_px = 33",
            "train.toml:17: data.crop_px: input should be a multiple of 32",
        ),
        (
            "levels = 2",
            "levels = 9",
            "train.toml:11: model.levels: input should be less than or equal to 8",
        ),
    ],
)
def test_a_mistake_has_its_file_and_line(
    config_path: Path, tmp_path: Path, line: str, wrong: str, message: str
) -> None:
    text = config_path.read_text()
    assert line in text
    config_path.write_text(text.replace(line, wrong))
    with pytest.raises(ConfigError) as caught:
        train_from_file(config_path, tmp_path / "out")
    assert message in str(caught.value)


@pytest.mark.parametrize("levels", [0, 1.5, MOST_LEVELS + 1, [1.0, 2.0]])
def test_there_are_one_to_eight_levels(levels: object) -> None:
    assert Model(levels=MOST_LEVELS).levels == MOST_LEVELS
    with pytest.raises(ValidationError, match="levels"):
        Model.model_validate({"levels": levels})


def test_a_packet_tells_as_many_levels_apart_as_there_may_be() -> None:
    packet = Packet(Kind.FRAME, boot=1, pkt=1)
    last = replace(packet, level=MOST_LEVELS - 1)
    assert unpack(pack(last)) == last
    with pytest.raises(ValueError, match="level"):
        pack(replace(packet, level=MOST_LEVELS))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_are_valid(path: Path) -> None:
    config = load(path, TrainConfig)
    assert config.name == path.stem
    for at in (0, config.steps - 1):
        config.stage_at(at)
    with pytest.raises(IndexError):
        config.stage_at(config.steps)


def test_a_codec_and_a_segmenter_learn_together(toy: Toy, scenes: Path, tmp_path: Path) -> None:
    """The schedule of ``roads.toml`` at toy size: the head alone, the codec, then both."""
    head = {"name": "lraspp_efficientnet_lite0", "classes": 11}
    rates = {"learning_rate": 3e-3, "final_learning_rate": 3e-3}
    task = {"alpha": 1.0, "task": "labels"}
    alone = {"steps": 20, "distortion": 0.0, "beta": 0.0, "head": "alone", **rates, **task}
    draws = {"steps": 2, "distortion": 100.0, "beta": 0.1, **rates}
    taught = {**draws, "alpha": 1.0, "task": "both", "features": 1.0}
    both = {**draws, **task, "head": "tuned"}
    config = toy(
        head=head,
        data={"sources": [f"camvid:{scenes}"], "crop_px": 32},
        stage=[alone, draws, taught, both],
        model={"arch": "lapped", "channels": 4, "levels": 2},
        checkpoint_every=10,
    )
    system, photos = train(config, tmp_path)
    assert system.head.labels == CAMVID
    assert system.class_weights[8] > system.class_weights[3]
    write_metrics(config, system, photos, tmp_path / "metrics.json")
    for level in json.loads((tmp_path / "metrics.json").read_text())["levels"]:
        assert (level["images"], level["labelled"], level["head_px"]) == (2, 2, None)
        assert 0 <= level["miou"] <= level["accuracy"] <= 1
        # Sky and road, told apart by colour, are most of each picture.
        assert level["accuracy_uncompressed"] > 0.5
