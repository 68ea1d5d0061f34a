"""A head that segments, from its network to a bundle that a gateway runs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tactic_codec.bundle import Bundle
from tactic_export import onnx_gateway
from tactic_export import run as export_run
from tactic_export.bundle import Plan
from tactic_export.pictures import report_pictures
from tactic_export.run import export
from tactic_export.runtimes import run_onnx
from tactic_gateway.pipeline import Pipeline
from tactic_gateway.task import open_task
from tactic_train import checkpoint
from tactic_train.config import TrainConfig
from tactic_train.heads import make_head
from tactic_train.loop import build
from tactic_train.road_scenes import CAMVID

MODULE = """
import torch
from torch import nn
from tactic_train.heads import Head

class Shades(Head):
    task = "segmentation"
    fresh = False

    def __init__(self, classes):
        super().__init__()
        torch.manual_seed(0)
        first = nn.Conv2d(3, 16, 3, padding=1)
        self.net = nn.Sequential(first, nn.ReLU(), nn.Conv2d(16, classes, 1))

    def features(self, picture):
        return [], nn.functional.interpolate(
            self.net(picture)[:, :, ::2, ::2], picture.shape[-2:], mode="bilinear"
        )
"""


@pytest.fixture
def shades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a small head in the working folder."""
    (tmp_path / "tactic_test_shades.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return "tactic_test_shades:Shades"


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three scenes in each split, 50 x 42 pixels."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for kind in ("images", "masks"):
            (tmp_path / "scenes" / kind / split).mkdir(parents=True)
        for number in range(3):
            mask = rng.integers(0, 12, (6, 5), np.uint8).repeat(7, axis=0).repeat(10, axis=1)
            picture = rng.integers(0, 256, (12, 3), np.uint8)[mask]
            for kind, array in (("images", picture), ("masks", mask)):
                cv2.imwrite(str(tmp_path / f"scenes/{kind}/{split}/{number}.png"), array)
    return tmp_path / "scenes"


@torch.no_grad()
def test_the_file_gives_a_class_for_every_pixel_at_any_size(shades: str, tmp_path: Path) -> None:
    head = make_head(shades, 5)
    onnx_gateway.write_head(head, tmp_path / "head.onnx")
    rng = np.random.default_rng(2)
    for count, height, width in ((1, 32, 32), (3, 40, 56), (2, 17, 23)):
        pictures = rng.integers(0, 256, (count, height, width, 3), np.uint8)
        found = run_onnx(tmp_path / "head.onnx", pictures)
        scores = head(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)
        assert found.dtype == np.uint8 and found.shape == (count, height, width)
        assert len(np.unique(found)) > 1
        # Weights kept in 16 bits decide otherwise where two classes score nearly the same.
        assert np.mean(found != scores.argmax(dim=1).numpy()) < 0.02


def test_report_pictures_have_masks(scenes: Path) -> None:
    pictures, masks = report_pictures(f"camvid:{scenes}", "", 16, len(CAMVID), "segmentation")
    assert pictures.shape == (3, 32, 48, 3) and masks.shape == (3, 32, 48)
    assert set(np.unique(masks)) <= set(range(-1, 11))
    for source, classes in ((f"unlabelled:{scenes}!images", 11), (f"camvid:{scenes}", 19)):
        other, void = report_pictures(source, "", 16, classes, "segmentation")
        assert void.shape == other.shape[:3] and (void == -1).all()
    assert (report_pictures(f"camvid:{scenes}", "", 16)[1] == -1).all()


def test_a_run_becomes_a_bundle_that_segments(
    shades: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_run, "TABLE_CROPS", 20)
    config = TrainConfig.model_validate(
        {
            "name": "toy",
            "model": {"arch": "paper", "channels": 4},
            "head": {"name": shades, "classes": len(CAMVID)},
            "data": {"sources": [f"camvid:{scenes}"], "crop_px": 32},
            "stage": [{"steps": 1, "learning_rate": 1e-3, "distortion": 1.0, "beta": 0.1}],
        }
    )
    system = build(config)
    system.head.labels = CAMVID
    (tmp_path / "run").mkdir()
    optimiser = torch.optim.Adam(system.codec.parameters())
    checkpoint.save(tmp_path / "run", config, system, optimiser, 1)
    plan = Plan("toy", "shades", ((32, 48),))
    report = (f"camvid:{scenes}", "")
    parity = export(tmp_path / "run", tmp_path / "toy", plan, report, lambda _: None)

    bundle = Bundle.open(tmp_path / "toy")
    assert bundle.manifest.heads[0].task == "segmentation"
    assert (tmp_path / "toy/gateway/labels.txt").read_text().split() == list(CAMVID)
    assert parity is not None and parity.task == "segmentation"
    written = json.loads((tmp_path / "toy/parity.json").read_text())
    assert written["miou_clean"] <= written["accuracy_clean"]
    (level,) = written["levels"]
    assert 0 <= level["miou_int8"] <= 1 and 0 < level["agreement_int8"] <= 1
    low, high = level["accuracy_change_interval"]
    assert low <= level["accuracy_int8"] - level["accuracy_float"] <= high
    pictures, masks = report_pictures(*report, system.codec.stride, 11, "segmentation")
    answers = open_task(bundle, bundle.manifest.heads[0], 1, 1).classes(pictures)
    assert parity.accuracy_clean == pytest.approx(np.mean((answers == masks)[masks >= 0]))
    card = (tmp_path / "toy/model-card.md").read_text()
    for words in ("pixels as on the uncompressed picture", "| mean IoU, int8 encoder |"):
        assert words in card
    assert all(f"| {name} | {value} |" in card for name, value in parity.rows())
    Pipeline(bundle, threads=1, top=2)
