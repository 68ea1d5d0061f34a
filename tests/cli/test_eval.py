"""``tactic eval`` and ``tactic plot``: results, figures, and what a user gets wrong."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from rig.tiny import nested
from tactic import app
from tactic.evaluate import codec, pictures, rivals
from tactic.evaluate.errors import EvaluationError, RivalMissingError
from tactic.evaluate.plot import run_plot, spread
from tactic.evaluate.run import run_eval
from tactic_codec import nest
from tactic_codec.bundle import Bundle
from tactic_codec.packet import HEADER_BYTES
from tactic_train.data import open_source

Fails = Callable[..., None]

SHIPPED = Path(__file__).parents[2] / "bundles/photo1000"
USAGE, BUNDLE, DATA, STORAGE = 2, 4, 7, 8
LEVELS = {"dark": 20, "middle": 128, "bright": 235}


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes by brightness, two pictures each to train on and two held out."""
    root = tmp_path_factory.mktemp("album")
    rng = np.random.default_rng(5)
    for split in ("train", "val"):
        for name, level in LEVELS.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                noisy = level + rng.integers(-15, 16, (38, 45 - number, 3))
                cv2.imwrite(str(folder / f"{split}_{number}.png"), noisy.astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def result(
    album: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A result of the tiny bundle, and its file."""
    out = tmp_path_factory.mktemp("result") / "new" / "result.json"
    options: dict[str, Any] = {"match": "", "limit": None, "as_json": False}
    names = ("jpeg", "webp")
    run_eval(tiny_bundle, f"imagefolder:{album}", against=names, out=out, **options)
    return out, json.loads(out.read_text())


def check_schema(result: dict[str, Any], codecs: set[str]) -> None:
    assert {"n", "clean_accuracy", "head", "curves", "machine", "commit", "date"} <= set(result)
    assert set(result["curves"]) == codecs | {"tactic"}
    for column in ("bytes", "bytes_stripped"):
        assert set(result[f"{column}_ratio_at_clean_minus_5"]) == codecs
        assert set(result[f"{column}_ratio_interval"]) == codecs
    for name, curve in result["curves"].items():
        sizes = [point["bytes"] for point in curve]
        assert sizes == sorted(sizes)
        for point in curve:
            low, high = point["accuracy_interval"]
            assert 0 <= low <= point["accuracy"] <= high <= 1
            assert 0 <= point["agreement"] <= 1
            assert 0 < point["bytes_stripped"] < point["bytes"]
            assert point["psnr_db"] is None or math.isfinite(point["psnr_db"])
            assert {"level", "share"} <= set(point) or {"quality", "scale"} <= set(point)
        assert any(point["envelope"] for point in curve), name


def test_result_of_the_tiny_bundle(result: tuple[Path, dict[str, Any]]) -> None:
    found = result[1]
    check_schema(found, {"jpeg", "webp"})
    assert (found["n"], found["head"], found["accuracy_of"]) == (6, "frozen", "class")
    assert found["clean_accuracy"] == 1
    assert len(found["curves"]["jpeg"]) == len(rivals.SCALES) * len(rivals.RIVALS["jpeg"].qualities)
    points = found["curves"]["tactic"]
    assert [(point["level"], point["share"]) for point in points] == [(0, 1.0)]
    assert all(p["bytes"] - p["bytes_stripped"] == HEADER_BYTES for p in points)
    # 36 x 44 pixels hold 99 symbols of each of 3 channels; its tables take 8 bits a symbol.
    assert points[-1]["bytes_stripped"] == pytest.approx(3 * 99, rel=0.05)
    assert points[-1]["bits_per_pixel"] == pytest.approx(8 * points[-1]["bytes"] / (36 * 44))


def test_settings_are_levels_and_shares_of_what_is_refined(tiny_bundle: Path) -> None:
    settings = codec.settings(nested(Bundle.open(tiny_bundle), 4))
    knobs = [(int(each.knobs["level"]), each.knobs["share"]) for each in settings]
    refined = [(level, share) for share in codec.CUT for level in (0, 1)]
    assert knobs == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), *refined]
    frames = [np.full((height, 40, 3), 77, np.uint8) for height in (40, 80, 40)]
    symbols = [3 * 100, 3 * 200, 3 * 100]
    found = {knob: each.code(frames) for knob, each in zip(knobs, settings, strict=True)}
    for (level, share), coded in found.items():
        layers = nest.layers(level, 4)
        for one, frame, count in zip(coded, frames, symbols, strict=True):
            assert one.bytes == one.bytes_stripped + HEADER_BYTES
            assert one.bytes_stripped == pytest.approx(share * layers * count, rel=0.03)
            assert one.pixels.shape == frame.shape
    # 77 is -51 for the encoder, two levels further -17; the tiny decoder knows no levels.
    assert all(np.array_equal(one.pixels, f) for one, f in zip(found[0, 1], frames, strict=True))
    assert (found[2, 1.0][1].pixels == 128 - 17).all()
    # Half of the stream is a word short of three planes; the fourth refines the first channel.
    assert found[0, 0.5][1].pixels[0, 0].tolist() == [111, 111, 128]
    assert found[0, 0.75][1].pixels[0, 0].tolist() == [77, 111, 111]


def test_the_shipped_bundle_on_pictures_without_classes(
    tactic: Callable[..., Any], album: Path
) -> None:
    limit = ("--limit", "2", "--against", "jpeg", "--json")
    done = tactic("eval", SHIPPED, "--data", album / "val", *limit)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    check_schema(found, {"jpeg"})
    assert (found["n"], found["clean_accuracy"], found["accuracy_of"]) == (2, 1, "agreement")
    assert all(p["accuracy"] == p["agreement"] for p in found["curves"]["jpeg"])


def test_which_pictures(album: Path, tmp_path: Path) -> None:
    def names(source: str, match: str = "", limit: int | None = None) -> list[str]:
        found = pictures.open_album(source, match, limit, 4, tuple(sorted(LEVELS)))
        return [item.name for item in found.items]

    held_out = names(str(album))
    assert len(held_out) == 6
    assert all(name.startswith("val/") for name in held_out)
    assert names(f"unlabelled:{album}") == held_out
    assert names(str(album), limit=2) == held_out[:2]
    assert len(names(str(album), match="val_1")) == 3
    assert len(names(str(album / "val/dark"))) == 2
    shutil.copytree(album / "val/dark", tmp_path / "zebra")
    partly = pictures.open_album(str(tmp_path), "", None, 4, ("zebra", "gnu"))
    assert (partly.labelled, partly.left_out) == (True, 0)


@pytest.mark.parametrize("held_out", ["Valid", "validation", "TEST"])
def test_training_and_evaluation_hold_out_the_same(
    album: Path, tmp_path: Path, held_out: str
) -> None:
    """Whatever the folder is called, and where a class is called like a split."""
    for split in ("Train", held_out):
        for name in ("bright", "dark", "test"):
            shutil.copytree(album / "val/dark", tmp_path / split / name)
    found = pictures.open_album(str(tmp_path), "", None, 4, ("bright", "dark", "test"))
    assert sorted(i.name for i in found.items) == sorted(
        item.name for item in open_source(f"imagefolder:{tmp_path}").val
    )


def test_classes_that_the_head_does_not_know(album: Path) -> None:
    some = pictures.open_album(str(album), "", None, 4, ("bright", "dark", "x", "y"))
    assert (len(some.items), some.left_out, some.labelled) == (4, 2, True)
    assert {item.label for item in some.items} == {0, 1}
    none = pictures.open_album(str(album), "", None, 4, ("x", "y"))
    assert (len(none.items), none.left_out, none.labelled) == (6, 0, False)


def test_networks_see_arrays_of_one_shape() -> None:
    arrays = [np.full((side, side), number) for number, side in enumerate((3, 5, 3, 5, 5))]
    calls: list[tuple[int, ...]] = []

    def run(batch: np.ndarray) -> np.ndarray:
        calls.append(batch.shape)
        return np.asarray(batch[:, 0, 0])

    assert pictures.by_shape(arrays, run) == [0, 1, 2, 3, 4]
    assert calls == [(2, 3, 3), (3, 5, 5)]


def test_bad_arguments(fails: Fails, album: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    data = ("--data", album)
    fails(BUNDLE, ("nowhere/manifest.json", "give the directory"), "eval", "nowhere", *data)
    evaluate = ("eval", tiny_bundle)
    words = ("nowhere: no such folder or zip", "correct the path")
    fails(DATA, words, *evaluate, "--data", "nowhere")
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "result.json"
    fails(STORAGE, ("result.json", "choose another --out"), *evaluate, *data, "--out", blocked)


def test_pictures_that_cannot_be_used(album: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no picture whose name begins with 'x_'"):
        pictures.open_album(str(album), "x_", None, 4, ("x",))
    Image.new("RGB", (3, 40)).save(tmp_path / "thin.png")
    with pytest.raises(EvaluationError, match=r"thin\.png: 3x40 pixels; .* at least 4x4"):
        pictures.open_album(str(tmp_path), "", None, 4, ("x",)).check()


def test_usage(tactic: Callable[..., Any], tmp_path: Path) -> None:
    for arguments in (
        ("eval", "bundle", "--data", ".", "--against", "gif"),
        ("eval", "bundle", "--data", ".", "--limit", "0"),
        ("plot", "result.json", "--out", "figure.bmp"),
    ):
        done = tactic(*arguments)
        assert done.returncode == USAGE
        assert "--help" in done.stderr


def test_names_of_the_command_line_are_those_of_the_room() -> None:
    assert tuple(rivals.RIVALS) == app.RIVALS


def test_a_codec_that_pillow_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    monkeypatch.delitem(Image.SAVE, "AVIF")
    with pytest.raises(RivalMissingError, match=r"writes no AVIF: pip install 'pillow>=11\.3'"):
        rivals.settings(["jpeg", "avif"])
    assert RivalMissingError.exit_code == USAGE


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_figure(
    result: tuple[Path, dict[str, Any]], tmp_path: Path, suffix: str, start: bytes
) -> None:
    out = tmp_path / f"new/figure{suffix}"
    run_plot([result[0], result[0]], out)
    content = out.read_bytes()
    assert content.startswith(start)
    assert len(content) > 5000
    if suffix == ".svg":
        assert all(word in content.decode() for word in ("tactic tiny", "JPEG", "WebP"))


def test_results_that_cannot_be_drawn(
    result: tuple[Path, dict[str, Any]], fails: Fails, tmp_path: Path
) -> None:
    fails(DATA, ("nowhere.json: No such file",), "plot", "nowhere.json", "--out", "figure.png")
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(EvaluationError, match=r"other\.json: n: Field required"):
        run_plot([other], tmp_path / "figure.png")
    other.write_text(json.dumps(result[1] | {"n": 7}))
    with pytest.raises(EvaluationError, match="of other pictures"):
        run_plot([result[0], other], tmp_path / "figure.png")


def test_labels_give_way_downwards() -> None:
    assert spread([0.50, 0.70, 0.71], 0.05) == pytest.approx([0.50, 0.66, 0.71])
    assert spread([0.70, 0.70, 0.70], 0.05) == pytest.approx([0.60, 0.65, 0.70])
