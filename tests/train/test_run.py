"""From a file to a checkpoint, figures and curves; every mistake in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tactic_codec.config import load
from tactic_codec.errors import ConfigError
from tactic_train import checkpoint
from tactic_train.config import TrainConfig
from tactic_train.run import train_from_file

Toy = Callable[..., TrainConfig]
AsToml = Callable[[TrainConfig], str]
EXPERIMENTS = sorted((Path(__file__).parents[2] / "train/experiments").glob("*.toml"))


@pytest.fixture
def config_path(toy: Toy, as_toml: AsToml, tmp_path: Path) -> Path:
    path = tmp_path / "train.toml"
    path.write_text(as_toml(toy()))
    return path


def test_from_a_file_to_figures(
    config_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    path = train_from_file(config_path, out)
    assert checkpoint.read(path)["step"] == 4
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["images"], metrics["labelled"], metrics["head_px"]) == (4, 4, 32)
    assert 0 <= metrics["accuracy"] <= 1
    assert metrics["bytes_per_image"] > 0
    assert list((out / "tensorboard").iterdir())
    shown = capsys.readouterr().out
    assert "step 4/4" in shown and "L_T" in shown and "images/s" in shown
    before = path.read_bytes()
    assert train_from_file(config_path, out).read_bytes() == before


def test_overrides(config_path: Path, photos: Path, tmp_path: Path) -> None:
    source = f"imagefolder:{photos / 'train'}"
    train_from_file(config_path, tmp_path / "out", sources=(source,), seed=9)
    written = TrainConfig.model_validate_json((tmp_path / "out/config.json").read_text())
    assert (written.seed, written.data.sources) == (9, (source,))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("batch = 4", "train.toml:4: batch_size: unknown key"),
        ("crop_px = 32", "train.toml:15: data.crop_px: input should be a multiple of 32"),
    ],
)
def test_a_mistake_has_its_file_and_line(
    config_path: Path, tmp_path: Path, line: str, message: str
) -> None:
    wrong = {"batch = 4": "batch_size = 4", "crop_px = 32": "crop_px = 33"}[line]
    config_path.write_text(config_path.read_text().replace(line, wrong))
    with pytest.raises(ConfigError) as caught:
        train_from_file(config_path, tmp_path / "out")
    assert message in str(caught.value)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_are_valid(path: Path) -> None:
    config = load(path, TrainConfig)
    assert config.name == path.stem
    for at in (0, config.steps - 1):
        config.stage_at(at)
    with pytest.raises(IndexError):
        config.stage_at(config.steps)
