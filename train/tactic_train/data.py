"""Images for training: folders, zips of folders, with labels or without.

A source is written ``imagefolder:PATH`` (``train/CLASS/x.jpg`` and ``val/CLASS/x.jpg``, or
``CLASS/x.jpg`` split 80:20 by a seed) or ``unlabelled:PATH`` (any images below PATH). PATH is a
folder or a zip of one; ``PATH!FOLDER`` takes only what lies below FOLDER inside it.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from tactic_train.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Item:
    """One image: where it is, how to read it, and its class (−1: none)."""

    name: str
    read: Callable[[], bytes]
    label: int


@dataclass(frozen=True, slots=True)
class Source:
    """The images of one source, and the class names its labels index."""

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    classes: tuple[str, ...]


def open_source(text: str, seed: int = 0) -> Source:
    """Open ``imagefolder:PATH`` or ``unlabelled:PATH``.

    Raises
    ------
    DataError
        The kind is unknown, the path is missing, or there is no image in it.
    """
    kind, _, where = text.partition(":")
    if kind not in {"imagefolder", "unlabelled"} or not where:
        raise DataError(f"data source {text!r}: write imagefolder:PATH or unlabelled:PATH")
    path, _, below = where.partition("!")
    files = {n: read for n, read in _files(Path(path)).items() if n.startswith(below)}
    if not files:
        raise DataError(f"{where}: no image found ({', '.join(sorted(SUFFIXES))})")
    if kind == "unlabelled":
        items = [Item(name, read, UNLABELLED) for name, read in sorted(files.items())]
        return Source(*_split(items, seed), classes=())
    return _labelled(files, seed)


def _files(path: Path) -> dict[str, Callable[[], bytes]]:
    """Relative POSIX name → reader, for every image below a folder or inside a zip."""
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES]
        return {p.relative_to(path).as_posix(): p.read_bytes for p in found}
    if not path.exists():
        raise DataError(f"{path}: no such folder or zip")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: neither a folder nor a zip archive")
    archive = zipfile.ZipFile(path)
    names = [n for n in archive.namelist() if PurePosixPath(n).suffix.lower() in SUFFIXES]
    return {name: (lambda n=name: archive.read(n)) for name in names}


def _labelled(files: dict[str, Callable[[], bytes]], seed: int) -> Source:
    parents = {name: PurePosixPath(name).parts[:-1] for name in files}
    if any(not parts for parts in parents.values()):
        raise DataError("imagefolder needs one folder per class; use unlabelled: without classes")
    classes = tuple(sorted({parts[-1] for parts in parents.values()}))
    index = {name: number for number, name in enumerate(classes)}
    items = {
        name: Item(name, read, index[parents[name][-1]]) for name, read in sorted(files.items())
    }
    train = [i for n, i in items.items() if "train" in parents[n]]
    val = [i for n, i in items.items() if "val" in parents[n] or "test" in parents[n]]
    if train and val:
        return Source(tuple(train), tuple(val), classes)
    return Source(*_split(list(items.values()), seed), classes=classes)


def _split(items: list[Item], seed: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """80:20, the same for the same seed and names."""
    shuffled = items[:]
    random.Random(seed).shuffle(shuffled)
    cut = max(1, len(shuffled) * 4 // 5)
    return tuple(shuffled[:cut]), tuple(shuffled[cut:])


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image file to RGB uint8 (H, W, 3).

    Raises
    ------
    DataError
        The bytes are not an image; the message names it.
    """
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{name}: not a readable image; remove it or mend it")
    return np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)
