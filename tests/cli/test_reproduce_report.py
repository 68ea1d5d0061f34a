"""The page of results is made of files alone, and leaves nothing out that speaks against us."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.page import write_page

NOTE = "The paper's model at β = 1 loses to JPEG."


def experiment(name: str, rows: list[dict[str, Any]]) -> str:
    cell = {
        "cell": "none-s1",
        "digest": "0" * 12,
        "configuration": {},
        "figures": {"right": "1101"},
        "wall_s": 7200.0,
        "resumed": False,
        "device": "a GPU",
        "machine": "a machine",
        "date": "2026-01-01",
    }
    return json.dumps(
        {
            "experiment": name,
            "preset": {"name": "gpu"},
            "rows": rows,
            "notes": [NOTE],
            "cells": [cell],
            "commit": "abc",
            "date": "2026-01-01",
        }
    )


def point(method: str, accuracy: float, size: float) -> dict[str, Any]:
    return {
        "method": method,
        "setting": "",
        "accuracy": accuracy,
        "accuracy_interval": [accuracy - 0.1, accuracy + 0.1],
        "bytes": 100 * size,
        "bytes_stripped": None,
        "bytes_standard": None,
        "bits_per_pixel": size,
        "bits_per_pixel_density": None,
        "published": None,
    }


ROWS = [point("none", 0.8, 5.0), point("JPEG", 0.5, 1.0), point("JPEG", 0.6, 2.0)]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "table1-gpu.json").write_text(experiment("table1", ROWS))
    (folder / "fig2-gpu.json").write_text(experiment("fig2", ROWS))
    (folder / "photo1000.json").write_text('{"another": "kind of file"}')
    ablation = {
        "title": "What each part is worth",
        "columns": ["left out", "bytes"],
        "rows": [["contexts", 120], ["nothing", 100.5]],
        "text": "At the same accuracy.",
        "notes": ["Attention helped nothing."],
    }
    (folder / "ablation-parts.json").write_text(json.dumps(ablation))
    (folder / "notes-heads.json").write_text(json.dumps({"notes": ["A head in training mode."]}))
    return folder


def test_one_page_of_all(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "docs/results.md"
    write_page([results], out)
    text = out.read_text()
    titles = re.findall("^## (.*)$", text, re.MULTILINE)
    assert [title.partition("(")[0].strip() for title in titles] == [
        "Accuracy and rate of the paper's model beside JPEG",
        "Accuracy over bits per pixel",
        "What each part is worth",
        "What did not work, or is not shown",
    ]
    assert "| JPEG | – | 50.0 [40.0, 60.0] | 100 |" in text
    assert "| nothing | 100.5 |" in text
    assert "Preset `gpu`, 4 photos, a GPU, commit unknown, 2.0 hours." in text
    negative = text.partition("What did not work")[2]
    assert [negative.count(note) for note in (NOTE, "Attention", "training mode")] == [2, 1, 1]
    assert f"- `fig2`, `gpu`: {NOTE}" in negative
    (link,) = re.findall(r"!\[.*\]\((.*)\)", text)
    assert (out.parent / link).read_text().startswith("<?xml")
    assert (out.parent / link).with_suffix(".png").exists()
    first = out.read_bytes()
    write_page([results], out)
    assert out.read_bytes() == first


def test_files_that_are_no_results(results: Path, tmp_path: Path) -> None:
    with pytest.raises(ReproduceError, match=r"nowhere: no result such as table1\.json; name the"):
        write_page([tmp_path / "nowhere"], tmp_path / "page.md")
    (results / "ablation-parts.json").write_text('{"title": "x"}')
    with pytest.raises(ReproduceError, match=r"ablation-parts\.json: columns: Field required"):
        write_page([results], tmp_path / "page.md")


def test_the_command(tactic: Callable[..., Any], results: Path, tmp_path: Path) -> None:
    done = tactic("reproduce", "report", results, "--out", tmp_path / "page.md")
    assert (done.returncode, done.stdout) == (0, f"report: {tmp_path / 'page.md'}\n"), done.stderr
    (tmp_path / "file").touch()
    done = tactic("reproduce", "report", results, "--out", tmp_path / "file/page.md")
    assert done.returncode == 8
