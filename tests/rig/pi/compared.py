"""The same programs on this machine and on the emulated Pi, with the same pictures."""

from __future__ import annotations

import fnmatch
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rig.pi import lines, wheels
from rig.pi.lines import Arrays, Line
from rig.pi.root import SHARED, Board, PiError, Root, finished

#: Where the packages of a runtime are; one that is not of the suite's Python is left out.
SITES = {"litert": "device", "onnxruntime": "device", "tflite": "tflite"}
CODERS = ("c", "python")
_ARCHIVES = ("kodak24.zip", "*/kodim*.png"), ("imagenet20_128_q90.zip", "*/val/*_val_*")
_VECTORS = "tests/codec/test_vectors.py"
_PYTEST = ("-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider")
_PATIENCE_S = 7200.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, and where.

    Attributes
    ----------
    suite : str
    boards : tuple of Board
    frames, sent : int
        Whose latents are compared; that the node sends.
    pip : bool
        Whether the Pi's own pip installs too.
    cache, data : Path
    """

    suite: str
    boards: tuple[Board, ...]
    frames: int
    sent: int
    pip: bool
    cache: Path
    data: Path

    @property
    def python(self) -> str:
        """Version of the suite's Python."""
        return wheels.PYTHONS[self.suite]

    @property
    def share(self) -> Path:
        """Folder that this machine and the Pi both see."""
        return self.cache / self.suite

    @staticmethod
    @contextmanager
    def step(name: str) -> Iterator[None]:
        """Say what is being done, and how long it took."""
        began_s = time.monotonic()
        print(f"== {name}", end=" ", file=sys.stderr, flush=True)
        yield
        print(f"({time.monotonic() - began_s:.0f} s)", file=sys.stderr, flush=True)


def collect(plan: Plan, repository: Path) -> None:
    """Put bundle, pictures, golden files and the program into the shared folder."""
    tests, share = repository / "tests", plan.share
    for name in ("bundle", "frames", "tests"):
        shutil.rmtree(share / name, ignore_errors=True)
    shutil.copytree(repository / "bundles/photo1000", share / "bundle")
    shutil.copytree(tests / "vectors", share / "tests/vectors")
    (share / "tests/codec").mkdir()
    shutil.copy(repository / _VECTORS, share / _VECTORS)
    shutil.copy(Path(__file__).with_name("inside.py"), share)
    (share / "frames").mkdir()
    for number, (name, content) in zip(range(plan.frames), photos(plan.data), strict=False):
        (share / f"frames/{number:02d}{Path(name).suffix}").write_bytes(content)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two machines.

    Attributes
    ----------
    name : str
    sites : str
        How the folders of its packages begin.
    folder : Path
        Where it finds the shared folder.
    start : callable
        Runs Python there with arguments and environment; returns what it printed.
    """

    name: str
    sites: str
    folder: Path
    start: Callable[[list[str], dict[str, str]], str]


def this_machine(plan: Plan) -> Side:
    """The machine that this program runs on."""
    program = wheels.interpreter(plan.python)

    def start(arguments: list[str], settings: dict[str, str]) -> str:
        return finished([program, *arguments], _PATIENCE_S, settings=settings)

    return Side("here", "here", plan.share, start)


def emulated(root: Root, board: Board) -> Side:
    """A board."""

    def start(arguments: list[str], settings: dict[str, str]) -> str:
        return root.run(board, ["python3", *arguments], _PATIENCE_S, settings)

    return Side(board.cpu, "pi", SHARED, start)


def measure(plan: Plan, side: Side) -> dict[str, Arrays]:
    """Latents of every runtime, and what the codec makes of those of LiteRT here."""
    runtimes = [name for name, site in SITES.items() if site in wheels.sites_of(plan.python)]
    found = {name: _made(plan, side, name, name, ["latents", name]) for name in runtimes}
    given = ["codec", "here-litert.npz"]
    packets = [] if side.name == "here" else ["here-codec.npz"]
    return found | {"codec": _made(plan, side, "codec", "litert", given, packets)}


def golden(plan: Plan, side: Side, board: Board) -> Iterator[Line]:
    """The golden files on a board, with both coders."""
    for coder in CODERS:
        settings = {"TACTIC_RANS": coder}
        what = f"golden files, coder in {coder}"
        with plan.step(f"{what}, {side.name}"):
            try:
                said = side.start(
                    [*_PYTEST, str(side.folder / _VECTORS)],
                    settings | {"PYTHONPATH": str(side.folder / f"{side.sites}-device")},
                )
            except PiError as fault:
                yield Line(board.name, what, str(fault), False)
            else:
                yield Line(board.name, what, said.splitlines()[-1], True)


def compare(board: Board, here: dict[str, Arrays], pi: dict[str, Arrays]) -> Iterator[Line]:
    """All lines of a board but those of golden files and node."""
    for name, found in pi.items():
        if name == "codec":
            yield from lines.codec(board.name, here[name], found)
        else:
            yield from lines.latents(board.name, name, here[name], found)


def _made(
    plan: Plan, side: Side, name: str, runtime: str, task: list[str], more: list[str] | None = None
) -> Arrays:
    """What ``inside.py`` writes."""
    path = f"{side.name}-{name}.npz"
    settings = {"PYTHONPATH": str(side.folder / f"{side.sites}-{SITES[runtime]}")}
    with plan.step(f"{name}, {side.name}"):
        side.start([str(side.folder / "inside.py"), *task, path, *(more or [])], settings)
    return dict(np.load(plan.share / path))


def photos(data: Path) -> Iterator[tuple[str, bytes]]:
    """Photos of both archives by turns: large PNG, small JPEG."""
    for archive, pattern in _ARCHIVES:
        with zipfile.ZipFile(data / archive) as file:
            names = sorted(name for name in file.namelist() if fnmatch.fnmatch(name, pattern))
            for name in names[:: max(1, len(names) // 24)][:24]:
                yield name, file.read(name)
