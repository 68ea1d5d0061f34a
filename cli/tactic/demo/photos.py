"""The demo's photos: found in the packages that install them, written out as a camera's folder."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tactic.demo.errors import DemoError

LIST = Path(__file__).with_name("photos.toml")


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One frame of the demo: ``name`` as printed, ``pixels`` uint8 (H, W, 3) RGB."""

    name: str
    pixels: NDArray[np.uint8]


def photos() -> Iterator[Photo]:
    """Every frame of ``photos.toml`` in its order.

    Raises
    ------
    DemoError
        A package or a file of it is missing.
    """
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))
    for group in listed["photos"]:
        for file in group["files"]:
            path = _installed(group["package"], file)
            yield Photo(path.stem, _rgb(cv2.imread(str(path), cv2.IMREAD_COLOR), path))
    for clip in listed["clips"]:
        path = _installed(clip["package"], clip["file"])
        yield from _clip(path, clip["frames"])


def _installed(package: str, file: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise DemoError(
            f"package {package} is not installed: pip install '.[demo]' in a checkout of tactic"
        )
    path = Path(found.submodule_search_locations[0]) / file
    if not path.is_file():
        raise DemoError(f"{path}: not in the installed version of {package}; reinstall it")
    return path


def _clip(path: Path, frames: list[int]) -> Iterator[Photo]:
    capture = cv2.VideoCapture(str(path))
    for number in range(max(frames) + 1):
        picture = capture.read()[1]
        if number in frames:
            yield Photo(f"{path.stem}-{number}", _rgb(picture, path))
    capture.release()


def _rgb(picture: NDArray[np.generic] | None, path: Path) -> NDArray[np.uint8]:
    if picture is None:
        raise DemoError(f"{path}: cannot be read; reinstall the package")
    return np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)


def write_folder(frames: list[Photo], folder: Path) -> None:
    """Write the frames losslessly, named so that their order is the list's."""
    folder.mkdir(parents=True)
    for number, photo in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:03d}-{photo.name}.png"), photo.pixels[:, :, ::-1])
