"""A folder of results: which cells are done, and how the others get done."""

from __future__ import annotations

import fcntl
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import ValidationError

from tactic.evaluate import about
from tactic.evaluate.errors import OutputError
from tactic.reproduce.cell import Cell, Result
from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.gallery import Gallery, Photos, link_classes, open_gallery
from tactic.reproduce.heads import weights_file
from tactic.reproduce.judging import forget_checkpoint
from tactic.reproduce.preset import HeadChoice
from tactic_train.checkpoint import replace_file
from tactic_train.photos import expand

_LINKED = "classes:"
_LOCK = "lock"
_TRAINING_SHARE = 0.8


class Lab:
    """Runs cells and keeps what they find.

    Parameters
    ----------
    out : Path
        Gets ``CELL-DIGEST.json`` for each cell that is done, and ``work/CELL-DIGEST/`` with its
        weights and checkpoints.
    say : callable
        Takes one line of progress.
    """

    def __init__(self, out: Path, say: Callable[[str], None]) -> None:
        self.out = out
        self.say = say
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cuda":
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.benchmark = True
        self.gallery = functools.cache(self._gallery)

    def folder(self, cell: Cell) -> Path:
        """Weights and checkpoints of a cell."""
        path = self.out / "work" / cell.key
        path.mkdir(parents=True, exist_ok=True)
        return path

    def source(self, photos: Photos) -> str:
        """The photos as a data source of ``tactic train``.

        Raises
        ------
        DataError, ReproduceError
            A variable is not set, or classes are missing.
        """
        expand(photos.source)
        if not photos.source.startswith(_LINKED):
            return photos.source
        path = Path(expand(photos.source.removeprefix(_LINKED)))
        linked = link_classes(path, self.out / "work", photos.classes, _TRAINING_SHARE)
        return f"imagefolder:{linked}"

    def check(self, photos: Photos, head: HeadChoice) -> None:
        """Find out before the work whether photos and weights are there.

        Raises
        ------
        DataError, ReproduceError
        """
        self.source(photos)
        weights_file(head)

    def _gallery(self, photos: Photos) -> Gallery:
        self.say("reading photos")
        return open_gallery(photos.model_copy(update={"source": self.source(photos)}))

    def result(self, cell: Cell) -> Result | None:
        """What a cell found, if it is done.

        Raises
        ------
        ReproduceError
            Its file is damaged.
        """
        path = self._path(cell)
        try:
            return Result.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as fault:
            raise ReproduceError(f"{path}: not a result of this version; delete it") from fault

    def make(self, cell: Cell) -> Result:
        """Look a result up, or make it and what it builds on."""
        found = self.result(cell)
        if found is None:
            for base in cell.bases():
                self._ensure(base)
            found = self._run(cell)
        return found

    def _ensure(self, cell: Cell) -> None:
        """Have a cell's weights as well as its result."""
        if self.result(cell) is None or not cell.is_whole(self):
            for base in cell.bases():
                self._ensure(base)
            self._run(cell)

    def _run(self, cell: Cell) -> Result:
        """Run a cell that no other process runs.

        A result that is there already stays: others build on it. Then this makes weights only.
        """
        with self._alone(cell):
            known = self.result(cell)
            if known and cell.is_whole(self):
                return known
            found = self._find_out(cell)
            if known is None:
                self.keep(self._path(cell), found.as_json() + "\n")
                self.say(f"{cell.name}: done in {found.wall_s:.0f} s{_accuracy(found)}")
            elif known.figures.right != found.figures.right:
                self.say(
                    f"{cell.name}: made again, and answers otherwise than its result says, which "
                    "stays; another machine? Choose another --out to have all figures of this one"
                )
            return known or found

    @contextmanager
    def _alone(self, cell: Cell) -> Iterator[None]:
        with (self.folder(cell) / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say(f"{cell.name}: another process is at it; waiting")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _find_out(self, cell: Cell) -> Result:
        resumed = any(path.name != _LOCK for path in self.folder(cell).iterdir())
        self.say(f"{cell.name}: {'goes on' if resumed else 'starts'}")
        start_s = time.monotonic()
        figures = cell.run(self)
        forget_checkpoint(self.folder(cell))
        return Result(
            cell=cell.name,
            digest=cell.digest,
            configuration=cell.configuration(),
            figures=figures,
            wall_s=round(time.monotonic() - start_s, 1),
            resumed=resumed,
            device=device_name(),
            machine=about.machine(),
            commit=about.commit(),
            date=about.date(),
        )

    def keep(self, path: Path, text: str) -> None:
        """Write a file, whole or not at all.

        Raises
        ------
        OutputError
        """
        try:
            replace_file(path, text.encode())
        except OSError as fault:
            raise OutputError(f"{path}: {fault.strerror}; make room, then start again") from fault

    def _path(self, cell: Cell) -> Path:
        return self.out / f"{cell.key}.json"


def device_name() -> str:
    """The GPU's name, or ``cpu`` and the number of threads."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu, {torch.get_num_threads()} threads"


def with_bases(cells: Iterable[Cell]) -> list[Cell]:
    """Cells and all that they build on, each once, bases first."""
    found: dict[str, Cell] = {}

    def visit(cell: Cell) -> None:
        for base in cell.bases():
            visit(base)
        found.setdefault(cell.key, cell)

    for cell in cells:
        visit(cell)
    return list(found.values())


def _accuracy(result: Result) -> str:
    figures = result.figures
    judged = figures.right or figures.hits
    return f", accuracy {figures.accuracy:.1%}" if judged else ""
