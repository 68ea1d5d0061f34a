"""What every photo costs, and how sure and right the head is, at beginnings of its stream.

A beginning that ends with a layer decodes exactly as the coarser level that the layer makes whole,
so the answers of whole levels are those of all beginnings; only their bytes differ.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate.codec import BundleCoder, Point
from tactic.evaluate.errors import EvaluationError, OutputError
from tactic.evaluate.pictures import Album
from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.manifest import Codec
from tactic_codec.packet import HEADER_BYTES
from tactic_gateway.task import Classifier

_AT_ONCE = 8
_ARRAYS = ("level_bytes", "first_bytes", "right", "score", "clean")


@dataclass(frozen=True, slots=True)
class First:
    """A first packet: the first layers of a level's stream.

    Attributes
    ----------
    level, layers : int
    shows : int
        The coarser level as which it decodes.
    """

    level: int
    layers: int
    shows: int


def firsts(codec: Codec) -> tuple[First, ...]:
    """Every first packet that a bundle allows."""
    found = []
    for level in range(codec.levels):
        whole = nest.layers(level, codec.levels)
        for layers in range(1, whole):
            found.append(First(level, layers, level + 2 * (whole - layers)))
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """L levels and F first packets of N photos.

    Attributes
    ----------
    firsts : tuple of First
    level_bytes : int64 array (L, N)
        Of packets with whole levels, header included.
    first_bytes : int64 array (F, N)
    right : bool array (L, N)
    score : float32 array (L, N)
        Of the best class.
    clean : bool array (N,)
        Right on the uncompressed photo.
    key : str
        What was measured.
    """

    firsts: tuple[First, ...]
    level_bytes: NDArray[np.int64]
    first_bytes: NDArray[np.int64]
    right: NDArray[np.bool_]
    score: NDArray[np.float32]
    clean: NDArray[np.bool_]
    key: str

    def of(self, photos: NDArray[np.intp]) -> Traces:
        """Those of some photos."""
        return Traces(
            self.firsts,
            self.level_bytes[:, photos],
            self.first_bytes[:, photos],
            self.right[:, photos],
            self.score[:, photos],
            self.clean[photos],
            self.key,
        )


class Measuring:
    """Encoder, decoder and head of a bundle.

    Parameters
    ----------
    bundle : Bundle
    head : Classifier

    Raises
    ------
    EvaluationError
        The bundle has one layer only: nothing could follow.
    """

    def __init__(self, bundle: Bundle, head: Classifier) -> None:
        self._bundle = bundle
        self._head = head
        self._coder = BundleCoder(bundle)
        self.firsts = firsts(bundle.codec)
        if not self.firsts:
            raise EvaluationError(f"{bundle.path}: its levels have one layer, nothing could follow")

    def run(self, album: Album, key: str, done: Callable[[int], None]) -> Traces:
        """Measure every photo of an album with classes; ``done`` is told how many more."""
        rows, right, score, clean = [], [], [], []
        for pictures, labels in album.chunks(_AT_ONCE):
            for pixels, label in zip(pictures, labels, strict=True):
                sizes, found = self._photo(pixels)
                rows.append(sizes)
                right.append([index == label for index, _ in found])
                score.append([probability for _, probability in found])
                clean.append(int(self._head.classes(pixels[np.newaxis])[0]) == label)
            done(len(pictures))
        level_bytes, first_bytes = np.split(np.array(rows, np.int64).T, [self._bundle.codec.levels])
        return Traces(
            self.firsts,
            level_bytes,
            first_bytes,
            np.array(right, bool).T,
            np.array(score, np.float32).T,
            np.array(clean, bool),
            key,
        )

    def _photo(self, pixels: NDArray[np.uint8]) -> tuple[list[int], list[tuple[int, float]]]:
        """Bytes of all levels and first packets; class and score at each level."""
        codec, coder = self._bundle.codec, self._coder
        points = [Point(level, 1.0) for level in range(codec.levels)]
        whole = [coder.stream(point, pixels) for point in points]
        latents = [
            coder.latent(point, data, pixels.shape)
            for point, data in zip(points, whole, strict=True)
        ]
        sides = latents[0].symbols.shape[1:]
        lengths = [
            stream.length(
                whole[each.level],
                self._bundle.models[nest.chain(each.level)],
                (each.layers * codec.channels, sides[0], sides[1]),
            )
            for each in self.firsts
        ]
        answers = self._head.answers(np.stack(coder.pictures(latents)))
        best = [(answer.classes[0].index, answer.classes[0].score) for answer in answers]
        return [HEADER_BYTES + n for n in (*map(len, whole), *lengths)], best


def write(path: Path, traces: Traces) -> None:
    """Keep traces.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    rows = [(each.level, each.layers, each.shows) for each in traces.firsts]
    text = np.frombuffer(json.dumps({"key": traces.key}).encode(), np.uint8)
    arrays = {name: getattr(traces, name) for name in _ARRAYS}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez_compressed(file, firsts=np.array(rows), text=text, **arrays)
    except OSError as fault:
        raise OutputError(f"{path}: {fault.strerror}; choose another file for traces") from fault


def read(path: Path, key: str) -> Traces:
    """Read traces of a key.

    Raises
    ------
    EvaluationError
        They are none, or of something else.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = json.loads(bytes(file["text"]))["key"]
            known = tuple(First(*map(int, row)) for row in file["firsts"])
            arrays = {name: np.asarray(file[name]) for name in _ARRAYS}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as fault:
        raise EvaluationError(f"{path}: no traces ({fault}); remove it") from fault
    if found != key:
        raise EvaluationError(f"{path}: of another bundle or other pictures; name another file")
    return Traces(known, **arrays, key=key)
