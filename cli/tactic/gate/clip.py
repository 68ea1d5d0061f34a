"""A clip of which every frame was sent: its latents, bytes and answers."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tactic.evaluate.errors import EvaluationError, OutputError
from tactic_codec.bundle import Bundle
from tactic_codec.packet import HEADER_BYTES
from tactic_codec.types import Latent
from tactic_device import encoders
from tactic_device.coder import Coder, find_geometry, find_level
from tactic_device.sources import Shot
from tactic_gateway.decoder import Decoder
from tactic_gateway.task import Classification, Task, open_task

_AT_ONCE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """N frames.

    Attributes
    ----------
    name : str
    fps : float
    latents : int8 array (N, C, h, w)
    sizes : int64 array (N,)
        Bytes of the packets, header included.
    classes : int64 array (N,)
        Best class of each frame.
    scores : float64 array (N, 2)
        Of the best two classes, 0 … 1.
    """

    name: str
    fps: float
    latents: NDArray[np.int8]
    sizes: NDArray[np.int64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        """Frames."""
        return len(self.sizes)

    def half(self, number: int) -> Clip:
        """The first (0) or second (1) half, as a clip."""
        part = slice(0, len(self) // 2) if number == 0 else slice(len(self) // 2, None)
        arrays = (self.latents, self.sizes, self.classes, self.scores)
        name = f"{self.name}, {('first', 'second')[number]} half"
        return Clip(name, self.fps, *(array[part] for array in arrays))  # type: ignore[arg-type]


def key_of(bundle: Bundle, level: int | None, geometry: str | None) -> str:
    """A name for measurements: the same for the same bundle and setting.

    Raises
    ------
    ConfigError
        The bundle lacks the level or the geometry.
    """
    said = [bundle.digest, find_level(bundle, level), find_geometry(bundle, geometry)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


class Measuring:
    """Encoder, decoder and head of a bundle.

    Parameters
    ----------
    bundle : Bundle
    level : int or None
    geometry : str or None

    Raises
    ------
    TacticError
        The bundle lacks one of these, or has no head of classification.
    """

    def __init__(self, bundle: Bundle, level: int | None, geometry: str | None) -> None:
        heads = [head for head in bundle.manifest.heads if head.task == "classification"]
        if not heads:
            raise EvaluationError(f"{bundle.path}: no head of classification says how sure it is")
        found = find_level(bundle, level)
        encoder = encoders.choose(bundle, found, "auto", 1).encoder
        self._coder = Coder(bundle, encoder, find_geometry(bundle, geometry), found)
        self._decoder = Decoder(bundle, 1)
        self._task: Task = open_task(bundle, heads[0], 1, 2)

    def run(self, path: Path, advance: Callable[[int], None]) -> Clip:
        """Send every frame of a video; ``advance`` is told how many more."""
        fps, shots = _open(path)
        latents, sizes, best = list[NDArray[np.int8]](), list[int](), list[Classification]()
        waiting = []
        for shot in shots:
            latents.append(self._coder.latent(shot))
            packet = self._coder.code(latents[-1], shot, self._coder.level, None)
            sizes.append(HEADER_BYTES + len(packet.payload))
            waiting.append(self._decoder.latent([packet]))
            if len(waiting) == _AT_ONCE:
                best += self._answers(waiting)
                advance(len(waiting))
                waiting = []
        if waiting:
            best += self._answers(waiting)
            advance(len(waiting))
        if len(sizes) < 4:
            raise EvaluationError(f"{path}: at least four frames are needed")
        classes = np.array([each.classes[0].index for each in best])
        return Clip(path.stem, fps, np.stack(latents), np.array(sizes), classes, _two(best))

    def _answers(self, latents: list[Latent]) -> list[Classification]:
        found = []
        for answer in self._task.answers(self._decoder.pictures(latents)):
            assert isinstance(answer, Classification), "chosen by its task"
            found.append(answer)
        return found


def _two(answers: list[Classification]) -> NDArray[np.float64]:
    """Scores of the best two classes; a head of one class leaves the rest of 1 to the other."""
    rows = []
    for answer in answers:
        scores = [each.score for each in answer.classes[:2]]
        rows.append(scores if len(scores) == 2 else [scores[0], 1.0 - scores[0]])
    return np.array(rows)


def _open(path: Path) -> tuple[float, Iterator[Shot]]:
    video = cv2.VideoCapture(str(path))
    fps = float(video.get(cv2.CAP_PROP_FPS))
    if not video.isOpened() or not fps > 0.0:
        raise EvaluationError(f"{path}: no video that OpenCV can read; check --clip")

    def shots() -> Iterator[Shot]:
        while True:
            more, pixels = video.read()
            if not more:
                return
            yield Shot(np.ascontiguousarray(pixels[:, :, ::-1], dtype=np.uint8), 0)

    return fps, shots()


def write(path: Path, clip: Clip) -> None:
    """Keep a clip.

    Raises
    ------
    OutputError
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            fps=np.array(clip.fps),
            latents=clip.latents,
            sizes=clip.sizes,
            classes=clip.classes,
            scores=clip.scores,
        )
    except OSError as fault:
        raise OutputError(f"{path}: {fault.strerror}; choose another --traces") from fault


def read(path: Path, name: str) -> Clip:
    """Read a clip that was kept.

    Raises
    ------
    EvaluationError
        The file is none.
    """
    arrays = ("latents", "sizes", "classes", "scores")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return Clip(name, float(file["fps"]), *(file[each] for each in arrays))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as fault:
        raise EvaluationError(f"{path}: no measurements ({fault}); remove it") from fault
