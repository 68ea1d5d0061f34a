"""Folders, and zips of folders, as names with readers."""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from tactic_train.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})

#: relative POSIX name → reader
Files = dict[str, Callable[[], bytes]]


def images(where: str) -> Files:
    """Find every image below a folder or inside a zip, ``PATH`` or ``PATH!FOLDER``.

    Raises
    ------
    DataError
        The path is missing or something else, or there is no image.
    """
    path, _, below = where.partition("!")
    prefix = below.rstrip("/") + "/" if below else ""
    files = {n: read for n, read in _files(Path(path)).items() if n.startswith(prefix)}
    if not files:
        raise DataError(
            f"{where}: no image found; put some there ({', '.join(sorted(SUFFIXES))}) "
            "or name another folder"
        )
    return files


def _files(path: Path) -> Files:
    if path.is_dir():
        found = {p.relative_to(path).as_posix(): p for p in _below(path)}
        return {n: p.read_bytes for n, p in found.items() if _is_image(n) and p.is_file()}
    if not path.exists():
        raise DataError(f"{path}: no such folder or zip; correct the path in data.sources")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: neither a folder nor a zip archive; give one of the two")
    names = _archive(path, os.getpid()).namelist()
    return {n: functools.partial(_read_member, path, n) for n in names if _is_image(n)}


def _below(folder: Path) -> Iterator[Path]:
    """Every file, through links to folders as well; a link back up is not followed for ever."""
    seen = set()
    for found, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(found)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(found, file) for file in files)


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
