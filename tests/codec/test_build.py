"""The build hook: a library that loads where there is a compiler, and wheels for other machines."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tactic_codec.entropy import EntropyModel
from tactic_codec.prepared import prepare
from tactic_codec.rans import Library
from tactic_codec.rans_twin import Twin
from tactic_codec.tables import SCALE, Table, TableSet

pytest.importorskip("hatchling", reason="the build hook needs hatchling")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path, hook: ModuleType) -> Path:
    source = tmp_path / hook.SOURCE
    source.parent.mkdir(parents=True)
    for path in (ROOT / hook.SOURCE).parent.glob("*.[ch]"):
        shutil.copy(path, source.parent)
    return tmp_path


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_compiled_library_codes(hook: ModuleType, tree: Path) -> None:
    assert hook.compile_library(tree, tree / hook.LIBRARY) is None
    prepared = prepare(EntropyModel.static(TableSet((Table(-1, (500, SCALE - 1001, 500), 1),))))
    symbols = np.array([[[0, 1, -1], [0, 100, 0]]], np.int8)
    assert Library(tree / hook.LIBRARY).encode(symbols, prepared) == Twin().encode(
        symbols, prepared
    )
    assert not list(tree.rglob("*.partial"))


def test_without_a_compiler_there_is_a_reason(
    hook: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    library = tree / hook.LIBRARY
    assert "/no/such/compiler failed" in hook.compile_library(tree, library)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert hook.compile_library(tree, library) == "no C compiler found"


def initialized(hook: ModuleType, tree: Path) -> tuple[Any, dict[str, Any]]:
    """The hook of a wheel that is built from ``tree``, and what it asks of the builder."""
    made = hook.CustomBuildHook(str(tree), {}, None, None, "", "wheel")
    asked: dict[str, Any] = {"artifacts": [], "force_include": {}}
    made.initialize("standard", asked)
    return made, asked


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_wheel_for_another_machine_has_its_library(
    hook: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TACTIC_WHEEL", "aarch64")
    assert "ziglang cc -s -target aarch64-linux-gnu.2.17" in hook.compiler_for("aarch64")
    monkeypatch.setattr(hook, "compiler_for", lambda machine: "cc")
    made, asked = initialized(hook, tree)
    assert asked["tag"] == "py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64"
    [(library, place)] = asked["force_include"].items()
    assert place == "tactic_codec/librans.so"
    assert Library(Path(library))
    assert not (tree / hook.LIBRARY).exists()
    made.finalize("standard", asked, "")
    assert not Path(library).exists()


def test_wheel_without_its_library_is_not_built(
    hook: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TACTIC_WHEEL", "aarch64")
    monkeypatch.setattr(hook, "compiler_for", lambda machine: "/no/such/compiler")
    with pytest.raises(RuntimeError, match="wheel for aarch64"):
        initialized(hook, tree)
    monkeypatch.setenv("TACTIC_WHEEL", "vax")
    with pytest.raises(ValueError, match="choose from x86_64, aarch64, any"):
        initialized(hook, tree)


def test_wheel_for_anything_else_has_the_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hatchling.builders.wheel import WheelBuilder

    monkeypatch.setenv("TACTIC_WHEEL", "any")
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    assert wheel.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith("dist-info/METADATA")]
        assert "\nName: tactic-edge\n" in archive.read(metadata).decode()
    assert "tactic_codec/rans_twin.py" in names
    assert not [name for name in names if name.endswith(".so")]


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "librans.so"
    with pytest.raises(OSError, match=r"librans\.so"):
        Library(path)
    path.write_bytes(b"no library")
    with pytest.raises(OSError, match=r"librans\.so"):
        Library(path)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="finds a library on Linux only")
def test_a_library_of_something_else_is_refused() -> None:
    mapped = Path("/proc/self/maps").read_text().split()
    other = next(word for word in mapped if "/libc.so" in word or "/libc-" in word)
    with pytest.raises(OSError, match="not the coder's library"):
        Library(Path(other))
