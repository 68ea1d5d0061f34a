"""Images with masks: their layout, their classes, and what is missing said in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tactic_train.config import TrainConfig
from tactic_train.data import open_source
from tactic_train.errors import DataError
from tactic_train.photos import gather
from tactic_train.road_scenes import CAMVID, CITYSCAPES

Toy = Callable[..., TrainConfig]


@pytest.fixture
def copy(scenes: Path, tmp_path: Path) -> Path:
    """Scenes that a test may spoil."""
    return Path(shutil.copytree(scenes, tmp_path / "copy"))


def names(path: Path | str) -> tuple[list[str], list[str]]:
    source = open_source(f"camvid:{path}")
    return [i.name for i in source.train], [i.name for i in source.val]


def test_a_folder_its_zip_and_one_further_down_are_the_same(scenes: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "scenes"), "zip", scenes)
    shutil.copytree(scenes, tmp_path / "deep/camvid")
    sources = [open_source(f"camvid:{p}") for p in (scenes, archive, tmp_path / "deep")]
    for source in sources:
        assert (source.classes, source.has_masks) == (CAMVID, True)
        for ours, theirs in zip(source.train, sources[0].train, strict=True):
            assert ours.mask and theirs.mask and ours.label == -1
            assert np.array_equal(ours.mask.decode(), theirs.mask.decode())
            assert ours.name.endswith(theirs.name)


def test_test_is_held_out_or_else_val(copy: Path) -> None:
    train, held = names(copy)
    assert train == [f"images/train/{n}.png" for n in range(6)]
    assert held == ["images/test/0.png", "images/test/1.png"]
    shutil.rmtree(copy / "images/test")
    assert names(copy)[1] == ["images/val/0.png", "images/val/1.png"]


def test_masks_hold_classes_and_void(scenes: Path) -> None:
    item = open_source(f"camvid:{scenes}").train[0]
    mask = item.decode_mask(item.decode().shape)
    assert mask.dtype == np.int8 and mask.shape == (40, 48)
    assert set(np.unique(mask)) == {-1, 0, 3, 8}


def test_cityscapes_ids_become_its_nineteen_classes(tmp_path: Path) -> None:
    ids = np.arange(34, dtype=np.uint8)[None].repeat(4, axis=0)
    for split in ("train", "val", "test"):
        stem = f"{split}/ulm/ulm_000000_000019"
        for kind, end, data in (
            ("leftImg8bit", "leftImg8bit", np.zeros((4, 34, 3), np.uint8)),
            ("gtFine", "gtFine_labelIds", ids),
            ("gtFine", "gtFine_color", ids),
        ):
            path = tmp_path / kind / f"{stem}_{end}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), data)
    source = open_source(f"cityscapes:{tmp_path}")
    assert (len(source.train), len(source.val), len(source.classes)) == (1, 1, 19)
    assert "val/" in source.val[0].name
    mask = source.train[0].decode_mask((4, 34))[0].tolist()
    assert {name: mask[number] for name, number in CITYSCAPES.items()} == {
        name: number for number, name in enumerate(source.classes)
    }
    assert mask.count(-1) == 34 - 19


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("masks/train/3.png", "images/train/3.png has no mask masks/train/3.png; add it"),
        ("masks", "images/train/0.png has no mask masks/train/0.png"),
        ("images/train", "no image below images/train; lay it out as published"),
        ("images", "no image below images/train"),
    ],
)
def test_missing_parts_are_named(copy: Path, gone: str, message: str) -> None:
    path = copy / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError) as caught:
        open_source(f"camvid:{copy}")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_held_out_is_named(copy: Path) -> None:
    for split in ("val", "test"):
        shutil.rmtree(copy / "images" / split)
    with pytest.raises(DataError, match="no image below images/val"):
        open_source(f"camvid:{copy}")


def test_masks_that_cannot_be_used(copy: Path) -> None:
    first, second, third = open_source(f"camvid:{copy}").train[:3]
    colour = np.zeros((40, 48, 3), np.uint8)
    cv2.imwrite(str(copy / "masks/train/0.png"), colour)
    cv2.imwrite(str(copy / "masks/train/1.png"), colour[:20, :, 0])
    (copy / "masks/train/2.png").write_text("text")
    for item, message in (
        (first, r"masks/train/0\.png: not an 8-bit greyscale mask"),
        (second, r"masks/train/1\.png: 48x20 pixels, the image has 48x40"),
        (third, r"masks/train/2\.png: not an 8-bit greyscale mask"),
    ):
        with pytest.raises(DataError, match=message):
            item.decode_mask((40, 48, 3))


def test_classes_of_pixels_are_the_heads(toy: Toy, scenes: Path, photos: Path) -> None:
    head = {"name": "lraspp_efficientnet_lite0", "classes": len(CAMVID)}
    data = {"sources": [f"camvid:{scenes}", f"imagefolder:{photos}"], "crop_px": 32}
    found = gather(toy(data=data, head=head), "segmentation")
    assert found.classes == CAMVID
    assert {item.label for item in found.train} == {-1}
    assert [item.mask is not None for item in found.train] == [True] * 6 + [False] * 12
    with pytest.raises(DataError, match=r"have 11 classes in their masks .* set head.classes to 1"):
        gather(toy(data=data, head=head | {"classes": 19}), "segmentation")


def test_a_head_that_classifies_sees_no_masks(toy: Toy, scenes: Path, photos: Path) -> None:
    data = {"sources": [f"camvid:{scenes}", f"imagefolder:{photos}"], "crop_px": 32}
    found = gather(toy(data=data))
    assert found.classes == ("circle", "stripes")
    assert not any(item.mask for item in found.train)
    assert {item.label for item in found.train} == {-1, 0, 1}
