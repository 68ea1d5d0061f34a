"""The emulated Pi's rules of judging: a difference that is planted is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rig.pi import compared, lines, wheels
from rig.pi.root import BOARDS, PACKAGES

Found = dict[str, Any]


@pytest.fixture
def latents() -> Found:
    return {
        "version": np.array("1.0"),
        "machine": np.array("aarch64"),
        "pixels-8": np.array(["one", "two"]),
        "latent-0-8": np.zeros((2, 10, 100, 100), np.int8),
        "latent-1-8": np.ones((2, 10, 100, 100), np.int8),
    }


def changed(found: Found, **values: Any) -> Found:
    return found | {name.replace("_", "-"): value for name, value in values.items()}


def holds(found: list[lines.Line]) -> list[bool]:
    return [line.good for line in found]


def test_eight_of_400_000_latents_may_differ_by_one(latents: Found) -> None:
    assert holds(lines.latents("Pi 4", "litert", latents, latents)) == [True, True]
    few, many, far = (latents["latent-0-8"].copy() for _ in range(3))
    few[0, 0, 0, :8] = -1
    many[0, 0, 0, :9] = -1
    far[0, 0, 0, 0] = 2
    for other, good in ((few, True), (many, False), (far, False)):
        pi = changed(latents, latent_0_8=other)
        assert holds(lines.latents("Pi 4", "litert", latents, pi)) == [good, True]


def test_other_pixels_versions_and_machines_are_found(latents: Found) -> None:
    pi = changed(latents, pixels_8=np.array(["one", "three"]))
    assert holds(lines.latents("Pi 4", "litert", latents, pi)) == [True, False]
    for name, value in (("version", "1.1"), ("machine", "x86_64")):
        pi = latents | {name: np.array(value)}
        assert holds(lines.latents("Pi 4", "litert", latents, pi)) == [False, True]


def test_other_packets_symbols_and_pixels_are_found() -> None:
    here: Found = {
        "backend": np.array("c"),
        "twin": np.array(1.0),
        "packets": np.arange(9, dtype=np.uint8),
        "sizes": np.array([4, 5]),
        "symbols": np.zeros((2, 1, 4, 4), np.int8),
        "levels": np.zeros((2, 1), np.int64),
        "pictures": np.full((2, 8, 8, 3), 7, np.uint8),
    }
    assert holds(lines.codec("Pi 4", here, here)) == [True] * 4
    assert holds(lines.codec("Pi 4", here, here | {"pictures": here["pictures"] + 1})) == [True] * 4
    planted: list[tuple[int, Found]] = [
        (0, {"backend": np.array("python")}),
        (0, {"twin": np.array(0.5)}),
        (1, {"packets": here["packets"] + 1}),
        (2, {"symbols": here["symbols"] + 1}),
        (2, {"levels": here["levels"] + 1}),
        (3, {"pictures": here["pictures"] - 2}),
    ]
    for place, other in planted:
        found = holds(lines.codec("Pi 4", here, here | other))
        assert found == [n != place for n in range(4)]


def test_the_boards_say_what_they_are() -> None:
    for board, part in zip(BOARDS, ("0xd08", "0xd0b"), strict=True):
        text = board.cpuinfo()
        assert text.count("processor\t:") == 4
        assert f"CPU part\t: {part}\n" in text
    pi4, pi5 = BOARDS
    assert "asimddp" in pi5.features
    assert "asimddp" not in pi4.features


def test_the_root_has_no_compiler() -> None:
    assert not [name for name in PACKAGES if "gcc" in name or "build" in name or "-dev" in name]


def test_packages_are_installed_again_only_where_the_project_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("dependencies = []\n[project.scripts]\n")
    monkeypatch.setattr(wheels, "PROJECT", project)
    wanted = ("tactic-edge[device]",)
    assert wheels.stale(tmp_path, "3.11", wanted)
    wheels.fresh(tmp_path, "3.11", wanted)
    assert not wheels.stale(tmp_path, "3.11", wanted)
    project.write_text("dependencies = []\n[project.scripts]\nother = 1\n")
    assert not wheels.stale(tmp_path, "3.11", wanted)
    assert wheels.stale(tmp_path, "3.13", wanted)
    project.write_text('dependencies = ["numpy"]\n[project.scripts]\n')
    assert wheels.stale(tmp_path, "3.11", wanted)


def test_photos_of_both_archives_are_taken(data: Path) -> None:
    names = [name for name, _ in zip(compared.photos(data), range(36), strict=False)]
    assert len(names) == 36
    assert {Path(name).suffix for name, _ in names} == {".png", ".JPEG"}
