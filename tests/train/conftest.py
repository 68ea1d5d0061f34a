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


VOID_IN_CAMVID = 11


def road(rng: np.random.Generator) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Sky (0) over road (3) with a car (8), and a void corner; uint8 (40, 48, 3) and (40, 48)."""
    mask = np.zeros((40, 48), np.uint8)
    mask[int(rng.integers(15, 25)) :] = 3
    left = int(rng.integers(5, 30))
    mask[22:30, left : left + 12] = 8
    mask[:4, :6] = VOID_IN_CAMVID
    colours = np.zeros((12, 3), np.uint8)
    colours[[0, 3, 8, 11]] = (240, 160, 80), (90, 90, 90), (20, 20, 200), (255, 255, 255)
    noise = rng.integers(-8, 9, (40, 48, 3))
    return np.clip(colours[mask] + noise, 0, 255).astype(np.uint8), mask


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as CamVid: six scenes to train on, two each in ``val`` and ``test``."""
    folder = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(1)
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            picture, mask = road(rng)
            assert cv2.imwrite(str(folder / "images" / split / f"{number}.png"), picture)
            assert cv2.imwrite(str(folder / "masks" / split / f"{number}.png"), mask)
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
