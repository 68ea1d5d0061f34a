"""``tactic eval`` with a head that segments: pixels instead of pictures, and mean IoU."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from tactic.evaluate import pictures
from tactic.evaluate.errors import EvaluationError
from tactic.evaluate.plot import run_plot
from tactic.evaluate.report import show
from tactic.evaluate.run import run_eval
from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_train.confusion import confusion, mean_iou
from tactic_train.data import open_source
from tactic_train.road_scenes import CAMVID

THREE_SHADES = """<ir_version: 9, opset_import: ["" : 17]>
segmenter (uint8[n, h, w, 3] picture) => (uint8[n, h, w] mask)
<int64[1] axis = {3}, int64[1] zero = {0}, int64[1] one = {1}, float[1] third = {85.5}>
{ red = Slice (picture, zero, one, axis)
  plane = Squeeze (red, axis)
  real = Cast <to = 1> (plane)
  scaled = Div (real, third)
  mask = Cast <to = 2> (scaled) }"""


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a head that gives the shade of every pixel: 0, 1 or 2."""
    onnx = pytest.importorskip("onnx")
    root = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("bundle") / "shades"))
    parser = importlib.import_module("onnx.parser")
    onnx.save(parser.parse_model(THREE_SHADES), root / "gateway/head.onnx")
    (root / "gateway/labels.txt").write_text("\n".join(CAMVID) + "\n")
    manifest = Bundle.open(tiny_bundle).manifest
    parts = {name: file_entry(root, f"gateway/{name}") for name in ("head.onnx", "labels.txt")}
    head = manifest.heads[0].model_copy(
        update={"task": "segmentation", "model": parts["head.onnx"], "labels": parts["labels.txt"]}
    )
    write_manifest(root, manifest.model_copy(update={"heads": (head,)}))
    return root


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes to train on and three held out, laid out as CamVid; the classes are shades."""
    root = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(3)
    for split, count in (("train", 2), ("test", 3)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            mask = np.kron(rng.integers(0, 3, (5, 6)), np.ones((8, 8))).astype(np.uint8)
            picture = (mask * 85 + rng.integers(0, 110, mask.shape)).astype(np.uint8)
            mask[:3] = 11
            for kind, array in (("images", picture), ("masks", mask)):
                cv2.imwrite(str(root / kind / split / f"{number}.png"), array)
    return root


def evaluated(bundle: Path, source: str, out: Path) -> dict[str, Any]:
    options: dict[str, Any] = {"match": "", "limit": None, "as_json": False}
    run_eval(bundle, source, against=("jpeg",), out=out, **options)
    return dict(json.loads(out.read_text()))


def test_accuracy_is_that_of_pixels(bundle: Path, scenes: Path, tmp_path: Path) -> None:
    found = evaluated(bundle, f"camvid:{scenes}", tmp_path / "result.json")
    items = open_source(f"camvid:{scenes}").val
    shares, counts = [], np.zeros((11, 11), np.int64)
    for item in items:
        truth = item.decode_mask((40, 48, 3))
        shades = (item.decode()[..., 0] / 85.5).astype(np.int64)
        shares.append(np.mean((truth == shades)[truth >= 0]))
        counts += confusion(truth, shades, 11)
    assert (found["n"], found["accuracy_of"]) == (3, "pixel")
    assert found["clean_accuracy"] == pytest.approx(np.mean(shares))
    assert found["clean_miou"] == pytest.approx(mean_iou(counts))
    for curve in found["curves"].values():
        for point in curve:
            assert 0 < point["miou"] <= point["accuracy"] + 0.2 <= 1.2
            assert 0 < point["agreement"] < 1, "pixels are counted, not pictures"
    run_plot([tmp_path / "result.json"], tmp_path / "figure.svg")
    assert "accuracy of pixels" in (tmp_path / "figure.svg").read_text()
    console = Console(record=True, width=200)
    show(found, console)
    shown = console.export_text()
    assert "mIoU" in shown and f"mIoU {found['clean_miou']:.1%}" in shown


def test_without_masks_pixels_agree(bundle: Path, scenes: Path, tmp_path: Path) -> None:
    found = evaluated(bundle, f"unlabelled:{scenes}!images", tmp_path / "result.json")
    assert (found["n"], found["accuracy_of"], found["clean_accuracy"]) == (3, "agreement", 1)
    assert "clean_miou" not in found
    for point in found["curves"]["tactic"]:
        assert 0 < point["accuracy"] == point["agreement"] < 1


def test_masks_of_other_classes_are_no_truth(scenes: Path) -> None:
    def album(labels: tuple[str, ...], task: str) -> pictures.Album:
        return pictures.open_album(f"camvid:{scenes}", "", None, 4, labels, task)

    assert album(CAMVID, "segmentation").labelled
    for other in (album(("a", "b"), "segmentation"), album(CAMVID, "classification")):
        assert (other.labelled, other.classes, len(other.items)) == (False, 0, 3)


def test_a_mask_that_is_all_void_is_named(scenes: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(scenes, tmp_path / "copy"))
    cv2.imwrite(str(copy / "masks/test/1.png"), np.full((40, 48), 11, np.uint8))
    album = pictures.open_album(f"camvid:{copy}", "", None, 4, CAMVID, "segmentation")
    with pytest.raises(EvaluationError, match=r"images/test/1\.png: every pixel of its mask"):
        album.check()
