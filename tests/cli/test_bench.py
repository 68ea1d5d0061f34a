"""The benchmark of a node: what it measures is there, and its rivals are set as the results say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tactic.app import app
from tactic.bench import rivals, run
from tactic.bench.path import STAGES, way
from tactic_codec.bundle import Bundle
from tactic_codec.errors import ConfigError

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles/photo1000"


def test_rivals_have_the_qualities_of_equal_accuracy() -> None:
    found = json.loads((ROOT / "docs/results/photo1000.json").read_text())["curves"]
    level = Bundle.open(BUNDLE).manifest.default_level
    wanted = max(p["accuracy"] for p in found["tactic"] if p["level"] == level)
    for name, quality in rivals.QUALITIES.items():
        whole = [p for p in found[name] if p["scale"] == 1.0]
        accuracies, qualities = (sorted(p[key] for p in whole) for key in ("accuracy", "quality"))
        assert round(float(np.interp(wanted, accuracies, qualities))) == quality


def test_stages_together_are_the_whole_way() -> None:
    bundle = Bundle.open(BUNDLE)
    ours, _ = way(bundle, 1, "auto", 1)
    picture = run.picture_of(bundle, "128x128")
    results = [call() for _, call in ours.stages(picture)]
    assert results[-1] == ours.whole(picture)
    assert len(results) == len(STAGES)


def test_one_run_measures_everything() -> None:
    arguments = ["--bundle", str(BUNDLE), "--size", "128x128", "--rounds", "1", "--json"]
    done = CliRunner().invoke(app, ["bench", "device", *arguments], catch_exceptions=False)
    found = json.loads(done.stdout)
    one = found["sizes"]["128x128"]
    for times in (one, one["all_threads"]):
        for name in ("tactic", "tactic_litert", "small", "jpeg", "webp", "avif", "head"):
            assert times[f"{name}_ms"] > 0
        assert set(times["stages"]) == set(STAGES)
    assert 50 < found["rss_mb"] < 500
    assert found["first_frame_s"] >= found["first_frame_cpu_s"] / 4 > 0
    assert one["energy_mj"]["tactic"] == pytest.approx(one["tactic_ms"] * found["watts"], abs=1e-3)


def test_a_wrong_size_is_one_line() -> None:
    with pytest.raises(ConfigError, match="WIDTHxHEIGHT"):
        run.picture_of(Bundle.open(BUNDLE), "large")


def test_the_published_run_says_what_the_document_says() -> None:
    found = json.loads((ROOT / "docs/results/device.json").read_text())["sizes"]["640x480"]
    ours, small, jpeg = (found[f"{name}_ms"] for name in ("tactic", "small", "jpeg"))
    text = (ROOT / "docs/speed.md").read_text()
    assert f"{ours / jpeg:.1f} times as long as libjpeg-turbo" in text
    assert f"`small` {small / jpeg:.1f} times as long" in text
    assert f"With LiteRT it is {found['tactic_litert_ms'] / jpeg:.1f} times as long" in text
    assert ours <= 7 * jpeg
    assert small <= 3.5 * jpeg
    assert ours <= found["avif_ms"] / 2
    assert ours <= found["webp_ms"] / 4
