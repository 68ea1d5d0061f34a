"""Small pictures and small configurations."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tactic_train.config import TrainConfig

CLASSES = ("circle", "stripes")


def draw(kind: str, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A 48×40 picture of its class; uint8 (40, 48, 3)."""
    picture = np.full((40, 48, 3), rng.integers(60, 200, 3), np.uint8)
    colour = tuple(int(c) for c in rng.integers(0, 255, 3))
    if kind == "circle":
        cv2.circle(picture, (24, 20), int(rng.integers(6, 15)), colour, -1)
    else:
        picture[:: int(rng.integers(3, 7))] = colour
    return picture


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled folder: six pictures for training and two for validation in each class."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for kind in CLASSES:
            (folder / split / kind).mkdir(parents=True)
            for number in range(count):
                path = folder / split / kind / f"{number}.png"
                assert cv2.imwrite(str(path), draw(kind, rng))
    return folder


@pytest.fixture
def toy(photos: Path) -> Callable[..., TrainConfig]:
    """A configuration of four steps that takes a second; keywords replace parts of it."""

    def make(**changes: Any) -> TrainConfig:
        stages = [
            {"steps": 2, "learning_rate": 1e-3, "distortion": 100.0, "beta": 0.1},
            {
                "steps": 2,
                "learning_rate": 1e-3,
                "distortion": 100.0,
                "alpha": 1.0,
                "beta": 0.1,
                "task": "labels",
                "head": "tuned",
                "head_px": [32],
            },
        ]
        whole = {
            "name": "toy",
            "seed": 3,
            "batch": 4,
            "checkpoint_every": 2,
            "model": {"arch": "paper", "channels": 4},
            "head": {"name": "torchvision:mobilenet_v3_small", "classes": 2},
            "data": {"sources": [f"imagefolder:{photos}"], "crop_px": 32},
            "stage": stages,
        }
        return TrainConfig.model_validate(whole | changes)

    return make


@pytest.fixture(scope="session")
def child_environment() -> dict[str, str]:
    """What a child process needs to import the rooms and to use one thread."""
    root = Path(__file__).parents[2]
    rooms = os.pathsep.join([str(root / "train"), str(root / "codec")])
    return {**os.environ, "PYTHONPATH": rooms, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photos_zip(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder as a zip."""
    return Path(shutil.make_archive(str(tmp_path_factory.mktemp("zip") / "photos"), "zip", photos))


@pytest.fixture(scope="session")
def as_toml() -> Callable[[TrainConfig], str]:
    """What writes a configuration as TOML: its JSON values are TOML values too."""

    def write(config: TrainConfig) -> str:
        parts = config.model_dump(mode="json", exclude_none=True)
        plain = {name: v for name, v in parts.items() if not isinstance(v, dict | list)}
        tables = [("", plain), *((f"[{n}]", parts[n]) for n in ("model", "head", "data"))]
        tables += [("[[stage]]", stage) for stage in parts["stage"]]
        lines = [(head, *(f"{k} = {json.dumps(v)}" for k, v in t.items())) for head, t in tables]
        return "\n".join(line for table in lines for line in table) + "\n"

    return write
