"""The build hook: a library that loads where there is a compiler, a reason where there is none."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

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
    assert hook.compile_library(tree) is None
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
    assert "/no/such/compiler failed" in hook.compile_library(tree)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert hook.compile_library(tree) == "no C compiler found"


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
