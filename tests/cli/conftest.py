"""The command line as its users have it: a process, its exit code, what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tactic.reproduce.preset import Preset

Done = subprocess.CompletedProcess[str]
Tactic = Callable[..., Done]
Fails = Callable[..., None]

PATIENCE_S = 180


@pytest.fixture
def tactic(tmp_path: Path) -> Tactic:
    """Runs ``tactic`` with arguments in a folder of its own until it ends."""

    def run(*arguments: object, **environment: str) -> Done:
        inherited = {k: v for k, v in os.environ.items() if k != "TACTIC_DATA"}
        return subprocess.run(
            [sys.executable, "-m", "tactic", *map(str, arguments)],
            cwd=tmp_path,
            env=inherited | {"COLUMNS": "100", "NO_COLOR": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    return run


@pytest.fixture
def fails(tactic: Tactic) -> Fails:
    """Runs ``tactic`` and expects one line on standard error with every word, and the code."""

    def run(code: int, words: tuple[str, ...], *arguments: object) -> None:
        done = tactic(*arguments)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("tactic: ")
        missing = [word for word in words if word not in done.stderr]
        assert not missing, done.stderr

    return run


@pytest.fixture(scope="session")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs and stripes: twelve photos of each to train on, six to judge by."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV draws the photos")
    folder = tmp_path_factory.mktemp("two-classes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        for kind in ("disc", "stripes"):
            (folder / split / kind).mkdir(parents=True)
            for number in range(count):
                photo = np.full((36, 40, 3), rng.integers(60, 200, 3), np.uint8)
                colour = tuple(int(c) for c in rng.integers(0, 255, 3))
                if kind == "disc":
                    cv2.circle(photo, (20, 18), 9, colour, -1)
                else:
                    photo[::4] = colour
                cv2.imwrite(str(folder / split / kind / f"{number}.png"), photo)
    return folder


@pytest.fixture(scope="session")
def road_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CamVid in small: sky above road, with void between; six to train on, three to judge by."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV writes the photos")
    folder = tmp_path_factory.mktemp("road-scenes")
    rng = np.random.default_rng(0)
    sky, road, void = 0, 3, 11
    for split, count in (("train", 6), ("test", 3)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            mask = np.full((36, 48), road, np.uint8)
            mask[: 12 + 2 * number] = sky
            mask[12 + 2 * number :][:2] = void
            photo = np.where(mask[..., None] == sky, (240, 180, 120), (90, 90, 90))
            photo = (photo + rng.integers(-20, 20, photo.shape)).astype(np.uint8)
            cv2.imwrite(str(folder / "images" / split / f"{number}.jpg"), photo)
            cv2.imwrite(str(folder / "masks" / split / f"{number}.png"), mask)
    return folder


@pytest.fixture(scope="session")
def toy_preset(two_classes: Path, road_scenes: Path) -> Preset:
    """Everything as small as it can be; a cell takes a second."""
    from tactic.reproduce.preset import Preset
    from tactic.reproduce.presets import CPU

    tune = {"steps": 2, "batch": 4, "learning_rate": 1e-3, "head_px": 32}
    training = {"steps": 2, "batch": 4, "learning_rate": 1e-3, "final_learning_rate": 1e-4}
    ours = CPU.ours.model_dump()
    for stage in (*ours["begin"], *ours["taught"]):
        stage.update(steps=1, head_px=[32])
    roads = CPU.roads.model_dump() | {"clean": tune, "tune": tune, "draw": training}
    roads["photos"] |= {"source": f"camvid:{road_scenes}", "side_px": 32, "tuned_on": 8}
    roads |= {"train": training, "table_crops": 8, "gammas": (1.0, 0.5)}
    source = {"source": f"imagefolder:{two_classes}", "match": "", "classes": 2, "side_px": 32}
    return Preset.model_validate(
        CPU.model_dump()
        | {
            "name": "toy",
            "photos": source | {"tuned_on": 24, "judged_by": 12},
            "seeds": (1, 2),
            "clean": tune,
            "tune": tune,
            "head": {"name": "efficientnet_lite0"},
            "channels": 4,
            "draw": training,
            "train": training,
            "table_crops": 16,
            "jpeg_qualities": (5,),
            "betas": (1 / 32,),
            "rivals": {"jpeg": ((5, 1.0), (5, 0.5)), "webp": ((5, 1.0), (5, 0.5))},
            "roads": roads,
            "ours": ours | {"channels": 4, "levels": 3, "step": 0.3, "batch": 4},
        }
    )
