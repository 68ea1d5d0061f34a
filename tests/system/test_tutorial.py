"""Every command of the tutorial as it is written there, with fewer photos and fewer steps."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import tomllib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tactic.demo.broker import Broker

ROOT = Path(__file__).parents[2]
WAIT_S = 120.0
#: what makes the same commands take seconds
FEWER = {
    '"train", 0, 224, 60': '"train", 0, 224, 8',
    '"val", 352, 384, 20': '"val", 352, 384, 3',
    "--limit 30": "--limit 2 --against webp",
    "fps = 2.0": "fps = 20.0",
}
TACTIC = f"""#!{sys.executable}
import sys
import torch
from tactic.__main__ import main
from tactic_export import freeze, run
from tactic_train import recipe

torch.set_num_threads(1)
recipe.OWN_CLASSES = recipe.Path(__file__).with_name("short.toml")
run.TABLE_CROPS = freeze.CALIBRATION = 32
sys.argv[0] = "tactic"
main()
"""
LOCAL = '\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'


def blocks() -> list[str]:
    """The shell blocks of the tutorial in their order, with what makes them quick."""
    text = (ROOT / "docs/tutorial.md").read_text()
    for usual, fewer in FEWER.items():
        assert usual in text
        text = text.replace(usual, fewer)
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def short_recipe() -> str:
    """The recipe for own classes with two steps in each stage."""
    recipe = (ROOT / "train/tactic_train/recipes/own-classes.toml").read_text()
    short, stages = re.subn(r"^steps = \d+$", "steps = 2", recipe, flags=re.MULTILINE)
    assert stages == 4
    short, sizes = re.subn(r"^input_px = \d+", "input_px = 64", short, flags=re.MULTILINE)
    assert sizes == 1
    return short


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where ``tactic`` is this one, with the short recipe, and ``python`` this interpreter."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "short.toml").write_text(short_recipe())
    for name, text in (("tactic", TACTIC), ("python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run(block: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a block and give what it prints."""
    done = subprocess.run(
        ["bash", "-e", "-c", block],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def answered(folder: Path) -> int:
    """Frames that have a result in the gateway's store."""
    with closing(sqlite3.connect(folder / "gateway.db")) as db:
        found: int = db.execute("SELECT COUNT(*) FROM results").fetchone()[0]
    return found


def test_every_command_of_the_tutorial_works(
    tmp_path: Path, environment: dict[str, str], broker: Broker
) -> None:
    folder = tmp_path / "out/tutorial"
    folder.mkdir(parents=True)
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    install, photos, training, export, show, evaluate, files, _, _, *daemons = blocks()
    assert "pip install" in install and "mkdir -p out/tutorial" in install
    run(photos, folder, environment)
    assert "recipe short: 6 steps" in run(training, folder, environment)
    run(export, folder, environment)
    assert "rate levels 0 to 4, recommended 2" in run(show, folder, environment)
    assert "figure: eval.png" in run(evaluate, folder, environment)
    assert json.loads((folder / "eval.json").read_text())["n"] == 2
    run(files, folder, environment)
    for name in ("gateway.toml", "device.toml"):
        with (folder / name).open("a") as file:
            file.write(LOCAL.format(port=broker.port))
    commands = [block.splitlines()[-1] for block in daemons]
    assert [block.splitlines()[:2] for block in daemons] == [
        [". .venv/bin/activate", "cd out/tutorial"]
    ] * 2
    with (folder / "gateway.log").open("wb") as log:
        gateway = subprocess.Popen(
            commands[0].split(), cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            last = json.loads(run(commands[1], folder, environment).splitlines()[-1])
            assert last["event"] == "stopped"
            assert (last["ledger"]["captured"], last["ledger"]["stored"]) == (3, 3)
            deadline_s = time.monotonic() + WAIT_S
            while answered(folder) < 3 and time.monotonic() < deadline_s:
                time.sleep(0.1)
            assert answered(folder) == 3, (folder / "gateway.log").read_text()
        finally:
            gateway.terminate()
            gateway.wait(WAIT_S)


def test_the_tutorial_says_what_training_says() -> None:
    text = (ROOT / "docs/tutorial.md").read_text()
    recipe = (ROOT / "train/tactic_train/recipes/own-classes.toml").read_text()
    stages = tomllib.loads(recipe)["stage"]
    steps = sum(stage["steps"] for stage in stages if "alpha" in stage)
    assert f"recipe own-classes: {steps} steps; head efficientnet_lite0" in text
