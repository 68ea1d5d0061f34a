"""Images for training: folders, zips of folders, with labels or without.

A source is written ``imagefolder:PATH`` (``train/CLASS/x.jpg`` and ``val/CLASS/x.jpg``, or
``CLASS/x.jpg`` split 80:20 by a seed) or ``unlabelled:PATH`` (any images below PATH). PATH is a
folder or a zip of one; ``PATH!FOLDER`` takes only what lies below FOLDER inside it.
"""

from __future__ import annotations

import functools
import os
import random
import zipfile
import zlib
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

    def decode(self) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3).

        Raises
        ------
        DataError
            The file cannot be read or is not an image; the message names it.
        """
        try:
            data = self.read()
        except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error, KeyError) as fault:
            raise DataError(f"{self.name}: cannot be read ({fault}); remove or mend it") from fault
        return decode_image(data, self.name)


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
    prefix = below.rstrip("/") + "/" if below else ""
    files = {n: read for n, read in _files(Path(path)).items() if n.startswith(prefix)}
    if not files:
        raise DataError(
            f"{where}: no image found; put some there ({', '.join(sorted(SUFFIXES))}) "
            "or name another folder"
        )
    if kind == "unlabelled":
        items = [Item(name, read, UNLABELLED) for name, read in sorted(files.items())]
        return Source(*_split(items, seed), classes=())
    return _labelled(where, files, seed)


def _files(path: Path) -> dict[str, Callable[[], bytes]]:
    """Relative POSIX name → reader, for every image below a folder or inside a zip."""
    if path.is_dir():
        found = {p.relative_to(path).as_posix(): p for p in path.rglob("*")}
        return {n: p.read_bytes for n, p in found.items() if _is_image(n) and p.is_file()}
    if not path.exists():
        raise DataError(f"{path}: no such folder or zip; correct the path in data.sources")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: neither a folder nor a zip archive; give one of the two")
    names = _archive(path, os.getpid()).namelist()
    return {n: functools.partial(_read_member, path, n) for n in names if _is_image(n)}


def _is_image(name: str) -> bool:
    """By its suffix; not what macOS and editors hide beside the images."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _read_member(path: Path, name: str) -> bytes:
    return _archive(path, os.getpid()).read(name)


@functools.lru_cache(maxsize=16)
def _archive(path: Path, process: int) -> zipfile.ZipFile:
    """One open file for each process: a forked one would share its position with its parent."""
    del process
    return zipfile.ZipFile(path)


def _labelled(where: str, files: dict[str, Callable[[], bytes]], seed: int) -> Source:
    parents = {name: PurePosixPath(name).parts[:-1] for name in files}
    if loose := [name for name, parts in parents.items() if not parts]:
        raise DataError(
            f"{where}: {min(loose)} lies in no class folder; move it into one, "
            "or write unlabelled: instead of imagefolder:"
        )
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
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise DataError(f"{name}: not a readable image; remove it or mend it")
    return np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)
