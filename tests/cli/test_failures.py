"""Whatever a user gets wrong: one line that names it and the remedy, and the documented code."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Site

Fails = Callable[..., None]

EXPERIMENT = Path(__file__).parents[2] / "train/experiments/photo1000.toml"
CONFIG, BUNDLE, SOURCE, TRAINING, STORAGE = 3, 4, 5, 7, 8
PORT = 1


@pytest.mark.parametrize("room", ["device", "gateway"])
def test_configuration(site: Site, fails: Fails, room: str) -> None:
    run = (room, "run", "--config")
    fails(CONFIG, ("nowhere.toml: No such file", "give the path"), *run, "nowhere.toml")
    site.configure(PORT)
    path = site.folder / f"{room}.toml"
    good = path.read_text()
    path.write_text(good.replace("[mqtt]", "[mqtt]\nhots = 1"))
    line = path.read_text().splitlines().index("hots = 1") + 1
    fails(CONFIG, (f"{room}.toml:{line}: mqtt.hots", "did you mean host?"), *run, path)
    path.write_text(good.replace("[mqtt]", "[mqtt"))
    fails(CONFIG, (f"{room}.toml:", "correct the TOML syntax"), *run, path)


@pytest.mark.parametrize("room", ["device", "gateway"])
def test_missing_bundle(site: Site, fails: Fails, room: str) -> None:
    site.configure(PORT)
    path = site.folder / f"{room}.toml"
    path.write_text(path.read_text().replace("tiny", "huge"))
    words = ("huge/manifest.json: No such file", "give the directory of a bundle")
    fails(BUNDLE, words, room, "run", "-c", path)


def test_a_changed_byte_in_any_file_of_a_bundle(
    tiny_bundle: Path, tmp_path: Path, fails: Fails
) -> None:
    for original in sorted(p for p in tiny_bundle.rglob("*") if p.is_file()):
        copy = shutil.copytree(tiny_bundle, tmp_path / "bundle", dirs_exist_ok=True)
        path = copy / original.relative_to(tiny_bundle)
        content = bytearray(path.read_bytes() or b"\0")
        content[len(content) // 2] ^= 0x10
        path.write_bytes(content)
        words = (str(path), "fetch or export the bundle again")
        fails(BUNDLE, words, "bundle", "show", copy)


@pytest.mark.parametrize("room", ["device", "gateway"])
def test_no_room_runs_a_changed_bundle(site: Site, fails: Fails, room: str) -> None:
    site.configure(PORT)
    path = site.folder / f"{room}.toml"
    copy = shutil.copytree(site.bundle, site.folder / "changed")
    (copy / "gateway/labels.txt").write_text("other\n")
    path.write_text(path.read_text().replace(str(site.bundle), str(copy)))
    fails(BUNDLE, ("labels.txt", "fetch or export the bundle again"), room, "run", "-c", path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"kind": "folder", "path": "nowhere"}, ("nowhere: no such folder", "source.path")),
        ({"kind": "folder", "path": "."}, ("no .jpg or .png files", "put pictures there")),
        ({"kind": "video", "path": "a.mp4"}, ("a.mp4: no such video file", "source.path")),
        ({"kind": "opencv", "device": 99}, ("/dev/video99: camera not found", "source.device")),
        pytest.param(
            {"kind": "picamera2"},
            ("picamera2 is not installed", "apt install python3-picamera2"),
            marks=pytest.mark.skipif(
                importlib.util.find_spec("picamera2") is not None,
                reason="picamera2 is installed: its absence cannot be tried",
            ),
        ),
    ],
)
def test_sources(site: Site, fails: Fails, source: dict[str, Any], words: tuple[str, ...]) -> None:
    site.configure(PORT, source=source)
    fails(SOURCE, words, "device", "run", "--config", site.folder / "device.toml")


def test_outbox_in_use_or_in_the_way(site: Site, fails: Fails) -> None:
    site.configure(PORT, outbox={"path": "device.toml"})
    fails(STORAGE, ("device.toml",), "device", "run", "--config", site.folder / "device.toml")


def test_store_in_the_way(site: Site, fails: Fails) -> None:
    site.configure(PORT)
    path = site.folder / "gateway.toml"
    (site.folder / "gateway.db").mkdir()
    fails(STORAGE, ("gateway.db", "check [store] path"), "gateway", "run", "--config", path)


def test_training_data(fails: Fails, tmp_path: Path) -> None:
    train = ("train", EXPERIMENT, "--out", tmp_path / "run")
    fails(TRAINING, ("TACTIC_DATA is not set", "export TACTIC_DATA=FOLDER"), *train)
    words = ("/nowhere: no such folder or zip", "correct the path")
    fails(TRAINING, words, *train, "--data", "imagefolder:/nowhere")
    words = ("photos:x: no such folder or zip", "correct the path")
    fails(TRAINING, words, *train, "--data", "photos:x")


def test_training_configuration(fails: Fails, tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text(EXPERIMENT.read_text().replace("\nbeta =", "\nbetta =", 1))
    words = ("train.toml:", "stage.0.betta: unknown key; remove it")
    fails(CONFIG, words, "train", path, "--out", tmp_path / "run")


def test_export(fails: Fails, tmp_path: Path) -> None:
    export = ("export", tmp_path, "--out", tmp_path / "bundle")
    words = ("config.json: No such file", "name the folder of a training run")
    fails(TRAINING, words, *export)
    (tmp_path / "config.json").write_text("{}")
    words = ("config.json: name: Field required", "name the folder of a training run")
    fails(TRAINING, words, *export)
    fails(CONFIG, ("--geometry 12x: write WIDTHxHEIGHT",), *export, "--geometry", "12x")


def test_demo_spares_what_is_not_its_own(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    words = (f"{tmp_path}: not empty", "choose another --out")
    fails(1, words, "demo", "--out", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_a_package_that_is_not_installed(tactic: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['cv2'] = None\n")
    done = tactic("device", "run", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == (
        "tactic: this command needs cv2, which is not installed: "
        "pip install '.[device]' in a checkout of tactic\n"
    )


def test_usage(tactic: Callable[..., Any]) -> None:
    for arguments in (("frobnicate",), ("train",), ("device", "run", "--colour")):
        done = tactic(*arguments)
        assert done.returncode == 2
        assert "--help" in done.stderr
        assert "Traceback" not in done.stderr
