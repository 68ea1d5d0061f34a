"""tactic's wheels and what they need, for the emulated Pi and, in the same versions, for this one.

The Pi's own pip installs ``tactic-edge[device]`` into a venv, as a user does, from a folder of
wheels. What is measured runs from folders that pip fills here (``--target``), since tflite-runtime
needs an older numpy than the rest and pip is slow in emulation.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rig.pi.root import BOARDS, SHARED, PiError, Root, finished

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
VENV = Path("/opt/tactic")
PROJECT = Path(__file__).parents[3] / "pyproject.toml"
PATIENCE_S = 7200.0
DEVICE = "tactic-edge[device]"
_WANTED = {"device": (DEVICE, "pytest"), "tflite": ("tactic-edge[device,tflite]",)}
_GLIBC = (17, 26, 27, 28, 31, 34, 35, 36)
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def sites_of(python: str) -> tuple[str, ...]:
    """Which folders there are: tflite-runtime ended with Python 3.11."""
    return ("device", "tflite") if python == PYTHONS["bookworm"] else ("device",)


def interpreter(python: str) -> str:
    """The Python of this machine that can run the same versions.

    Raises
    ------
    PiError
        There is none.
    """
    if sys.version_info[:2] == tuple(map(int, python.split("."))):
        return sys.executable
    found = shutil.which(f"python{python}")
    if found is None:
        raise PiError(f"python{python} is not installed here; the runtimes to compare with need it")
    return found


def for_the_pi(share: Path, dist: Path, python: str) -> None:
    """Fill ``share/wheels`` and the folders ``share/pi-SITE`` with packages for ARM.

    Raises
    ------
    PiError
        Something has no wheel for ARM.
    """
    tags = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    tags += [f"--platform=manylinux_2_{minor}_aarch64" for minor in _GLIBC]
    tags += ["--platform=manylinux2014_aarch64", "--platform=any"]
    house = share / "wheels"
    if stale(house, python, (DEVICE,)):
        command = [*_PIP, "download", f"--dest={house}", f"--find-links={dist}", *tags, DEVICE]
        finished(command, PATIENCE_S)
        fresh(house, python, (DEVICE,))
    for old in house.glob("tactic_edge-*"):
        old.unlink()
    for wheel in dist.glob("*.whl"):
        shutil.copy(wheel, house)
    for name in sites_of(python):
        _fill(share / f"pi-{name}", dist, python, _WANTED[name], [*tags, "--no-compile"])


def for_this_machine(share: Path, dist: Path, python: str) -> None:
    """Fill the folders ``share/here-SITE`` with the versions that the Pi has."""
    for name in sites_of(python):
        pins = share / f"{name}.txt"
        found = (share / f"pi-{name}").glob("*.dist-info")
        pairs = [path.name.removesuffix(".dist-info").rsplit("-", 1) for path in found]
        pairs = [pair for pair in pairs if pair[0] != "tactic_edge"]
        pins.write_text("".join(f"{package}=={version}\n" for package, version in sorted(pairs)))
        program = interpreter(python)
        _fill(
            share / f"here-{name}", dist, python, _WANTED[name], [f"--constraint={pins}"], program
        )


def install(root: Root, python: str) -> str:
    """``pip install "tactic-edge[device]"`` on the Pi, by its own pip; its Python.

    Where it was done before, tactic's wheel alone is put in again.

    Raises
    ------
    PiError
    """
    board, program = BOARDS[0], f"{VENV}/bin/python"
    pip = [program, "-m", "pip", "install", "--no-index", f"--find-links={SHARED}/wheels"]
    there = root.folder / VENV.relative_to("/")
    if stale(there, python, (DEVICE,)):
        root.run(board, ["python3", "-m", "venv", "--clear", str(VENV)], PATIENCE_S)
        root.run(board, [*pip, DEVICE], PATIENCE_S)
        fresh(there, python, (DEVICE,))
    else:
        root.run(board, [*pip, "--no-deps", "--force-reinstall", "tactic-edge"], PATIENCE_S)
    return program


def _fill(
    site: Path,
    dist: Path,
    python: str,
    wanted: Sequence[str],
    options: Sequence[str],
    program: str = sys.executable,
) -> None:
    pip = [program, *_PIP[1:], "install", f"--find-links={dist}", f"--target={site}", *options]
    if stale(site, python, wanted):
        shutil.rmtree(site, ignore_errors=True)
        finished([*pip, *wanted], PATIENCE_S)
        fresh(site, python, wanted)
    else:
        finished([*pip, "--no-deps", "--upgrade", "tactic-edge"], PATIENCE_S)


def _stamp(python: str, wanted: Sequence[str]) -> str:
    """What it depends on; a new version of a package is not fetched for its own sake."""
    project = PROJECT.read_text().split("[project.scripts]")[0]
    return hashlib.sha256(f"{project}{python}{wanted}".encode()).hexdigest()


def stale(folder: Path, python: str, wanted: Sequence[str]) -> bool:
    """Whether what lies in a folder was made for something else."""
    stamp = folder / "made-of"
    return not stamp.exists() or stamp.read_text() != _stamp(python, wanted)


def fresh(folder: Path, python: str, wanted: Sequence[str]) -> None:
    """Note what lies in a folder."""
    (folder / "made-of").write_text(_stamp(python, wanted))
