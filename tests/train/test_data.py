"""Sources open in every form they are written in; what is wrong with one is said in one line."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tactic_train.config import TrainConfig
from tactic_train.data import open_source
from tactic_train.errors import DataError
from tactic_train.photos import class_indices, expand, gather

Toy = Callable[..., TrainConfig]


def test_a_folder_and_its_zip_are_the_same(photos: Path, photos_zip: Path) -> None:
    folder, archive = (open_source(f"imagefolder:{path}") for path in (photos, photos_zip))
    assert folder.classes == archive.classes == ("circle", "stripes")
    for a, b in zip(folder.train + folder.val, archive.train + archive.val, strict=True):
        assert (a.name, a.label, a.read()) == (b.name, b.label, b.read())
    assert (len(folder.train), len(folder.val)) == (12, 4)


def test_only_what_lies_below_a_folder(photos: Path) -> None:
    source = open_source(f"unlabelled:{photos}!val/circle")
    assert len(source.train + source.val) == 2
    with pytest.raises(DataError, match="no image found"):
        open_source(f"unlabelled:{photos}!val/cir")


def test_without_splits_four_of_five_are_for_training(photos: Path) -> None:
    source = open_source(f"imagefolder:{photos / 'train'}")
    assert (len(source.train), len(source.val)) == (9, 3)
    again = open_source(f"imagefolder:{photos / 'train'}")
    assert [i.name for i in source.train] == [i.name for i in again.train]
    assert source.classes == ("circle", "stripes")


@pytest.mark.parametrize("held_out", ["val", "Valid", "validation", "TEST"])
def test_what_is_held_out_has_several_names(photos: Path, tmp_path: Path, held_out: str) -> None:
    """And classes may be called like splits."""
    for split in ("Train", held_out):
        for name in ("train", "test"):
            shutil.copytree(photos / "train/circle", tmp_path / split / name)
    source = open_source(f"imagefolder:{tmp_path}")
    assert {item.name.split("/")[0] for item in source.train} == {"Train"}
    assert {item.name.split("/")[0] for item in source.val} == {held_out}
    assert source.classes == ("test", "train")


def test_linked_folders_are_followed_once(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(photos / "train/circle")
    (tmp_path / "back").symlink_to(tmp_path)
    source = open_source(f"imagefolder:{tmp_path}")
    assert source.classes == ("circle",)
    assert len(source.train + source.val) == len(list((photos / "train/circle").iterdir()))


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("x/1.jpg", "x/._1.jpg", "__MACOSX/x/1.jpg", "x/readme.txt"):
            archive.writestr(name, b"")
    source = open_source(f"unlabelled:{tmp_path / 'a.zip'}")
    assert [item.name for item in source.train + source.val] == ["x/1.jpg"]


def test_a_damaged_member_is_named(photos_zip: Path, tmp_path: Path) -> None:
    data = bytearray(photos_zip.read_bytes())
    with zipfile.ZipFile(photos_zip) as archive:
        member = next(m for m in archive.infolist() if m.filename == "train/circle/0.png")
    data[member.header_offset + 80] ^= 0xFF
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(data)
    items = {item.name: item for item in open_source(f"imagefolder:{damaged}").train}
    with pytest.raises(DataError, match=r"^train/circle/0\.png: .*; remove or mend it$"):
        items["train/circle/0.png"].decode()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("photos", "write imagefolder:PATH or unlabelled:PATH"),
        ("imagefolder:", "write imagefolder:PATH"),
        ("imagefolder:/nowhere", "/nowhere: no such folder or zip"),
        ("imagefolder:{empty}", "no image found"),
        ("imagefolder:{text}", "neither a folder nor a zip"),
        ("imagefolder:{loose}", "x.jpg lies in no class folder"),
    ],
)
def test_a_wrong_source_is_explained_in_one_line(tmp_path: Path, source: str, message: str) -> None:
    for name in ("empty", "loose"):
        (tmp_path / name).mkdir()
    (tmp_path / "loose/x.jpg").touch()
    (tmp_path / "text").write_text("no archive")
    places = {name: tmp_path / name for name in ("empty", "loose", "text")}
    with pytest.raises(DataError) as caught:
        open_source(source.format(**places))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 7


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEWHERE", "/data")
    assert expand("imagefolder:$SOMEWHERE/a") == "imagefolder:/data/a"
    monkeypatch.delenv("SOMEWHERE")
    with pytest.raises(DataError, match="SOMEWHERE is not set"):
        expand("imagefolder:${SOMEWHERE}/a")


def test_folders_are_matched_with_the_heads_classes() -> None:
    assert class_indices(("a", "b"), 2) == {"a": 0, "b": 1}
    assert class_indices(("a", "b"), 3) == {}
    known = class_indices(("n02099601", "tench", "my cat", "golden_retriever"), 1000)
    assert known == {"n02099601": 207, "tench": 0, "golden_retriever": 207}


def test_labels_are_one_space_over_all_sources(toy: Toy, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "apple").mkdir()
    (tmp_path / "apple/1.png").write_bytes((photos / "val/circle/0.png").read_bytes())
    sources = [f"imagefolder:{photos}", f"imagefolder:{tmp_path}", f"unlabelled:{photos}!val"]
    head = {"name": "torchvision:mobilenet_v3_small", "classes": 3}
    found = gather(toy(data={"sources": sources, "crop_px": 32}, head=head))
    assert found.classes == ("apple", "circle", "stripes")
    labels = {item.name.split("/")[-2]: item.label for item in found.train if item.label >= 0}
    assert labels == {"apple": 0, "circle": 1, "stripes": 2}
    assert sum(item.label == -1 for item in found.train) == 3


def test_classes_that_do_not_fit_are_explained(toy: Toy) -> None:
    head = {"name": "torchvision:mobilenet_v3_small", "classes": 5}
    with pytest.raises(DataError, match=r"set head\.classes to 2"):
        gather(toy(head=head))


def test_a_source_without_one_readable_image_is_refused(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("text")
    with pytest.raises(DataError, match=r"^x\.jpg: not a readable image"):
        stages = [{"steps": 1, "learning_rate": 1e-3, "distortion": 1.0, "beta": 0.0}]
        gather(toy(data={"sources": [f"unlabelled:{tmp_path}"]}, stage=stages))
