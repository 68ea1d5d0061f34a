"""The photos of the experiments, where TACTIC_DATA says that they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tactic_codec.config import load
from tactic_train.config import TrainConfig
from tactic_train.evaluate import evaluate
from tactic_train.loop import build
from tactic_train.photos import gather
from tactic_train.run import judges

EXPERIMENT = Path(__file__).parents[2] / "train/experiments/photo1000.toml"


@pytest.mark.skipif("TACTIC_DATA" not in os.environ, reason="TACTIC_DATA is not set")
def test_the_photo_experiment_finds_its_photos() -> None:
    config = load(EXPERIMENT, TrainConfig)
    photos = gather(config)
    chosen = judges(config, photos)
    assert len(photos.train) == 7200 + 293
    assert len(chosen) == 1000
    assert {item.label for item in chosen} >= {0, 155, 701}
    found = evaluate(build(config), chosen[::25], head_px=224)
    assert len(found) == config.model.levels
    assert all(level.accuracy_uncompressed for level in found)
    assert (found[0].accuracy_uncompressed or 0) > 0.4
