"""Drift on latents made here; `tests/system/test_drift.py` has photos."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_codec import reference
from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.errors import BundleError
from tactic_codec.reference import References
from tactic_device import encoders
from tactic_device.alarms import Alarms
from tactic_device.coder import Coder
from tactic_device.config import DriftSettings
from tactic_device.drift import FILE, Drift
from tactic_device.log import Log

Events = Callable[[], list[dict[str, Any]]]
LEARN = 200


def latents(count: int, width: float, seed: int) -> NDArray[np.int8]:
    rng = np.random.default_rng(seed)
    widths = width * rng.uniform(0.5, 2.0, (count, 1, 1, 1))
    return np.clip(np.rint(rng.laplace(0, widths, (count, 3, 4, 6))), -127, 127).astype(np.int8)


@pytest.fixture
def coder(bundle: Bundle) -> Coder:
    pytest.importorskip("onnxruntime")
    return Coder(bundle, encoders.choose(bundle, 1, "onnxruntime", 1).encoder, 0, 1)


def make(tmp_path: Path, log: Log, kind: Any = "bundle") -> tuple[Drift, Alarms]:
    alarms = Alarms(log, lambda: None)
    settings = DriftSettings(reference=kind, learn_frames=LEARN)
    return Drift(settings, tmp_path, alarms, log), alarms


def feed(drift: Drift, coder: Coder, frames: NDArray[np.int8]) -> None:
    for frame in frames:
        drift.look(coder, frame)


def test_it_learns_says_so_and_remembers(
    tmp_path: Path, coder: Coder, log: Log, events: Events
) -> None:
    drift, alarms = make(tmp_path, log)
    feed(drift, coder, latents(LEARN, 3, 1)[:-1])
    assert drift.facts() == {"reference": "learning", "frames": LEARN - 1}
    feed(drift, coder, latents(1000, 3, 2))
    assert drift.facts()["reference"] == "learnt"
    assert not alarms.names
    again, alarms = make(tmp_path, log)
    feed(again, coder, latents(200, 9, 3))
    assert alarms.names == {"drift"}
    feed(again, coder, latents(300, 3, 4))
    assert not alarms.names
    told = [e["event"] for e in events()]
    assert told == ["drift_learning", "drift_reference", "drift_reference", "alarm", "alarm_ended"]
    assert FILE in events()[3]["remedy"]
    assert events()[3]["distance"] > 0


def test_another_encoder_is_another_matter(
    tmp_path: Path, coder: Coder, log: Log, events: Events
) -> None:
    drift, _ = make(tmp_path, log)
    feed(drift, coder, latents(LEARN, 3, 1))
    feed(drift, dataclasses.replace(coder, geometry=1), latents(1, 3, 2))
    assert drift.facts() == {"reference": "learning", "frames": 1}
    feed(drift, coder, latents(1, 3, 2))
    assert drift.facts()["reference"] == "learnt"


def test_a_damaged_memory_is_learnt_again(tmp_path: Path, coder: Coder, log: Log) -> None:
    (tmp_path / FILE).write_text('{"encoder": 3')
    drift, _ = make(tmp_path, log)
    feed(drift, coder, latents(1, 3, 2))
    assert drift.facts()["reference"] == "learning"


def test_none_looks_at_nothing(tmp_path: Path, coder: Coder, log: Log, events: Events) -> None:
    drift, _ = make(tmp_path, log, "none")
    feed(drift, coder, latents(300, 3, 2))
    assert drift.facts() == {"reference": "none", "frames": 0}
    assert events() == []


def with_reference(bundle: Bundle, root: Path, channels: int = 3) -> Bundle:
    """The same bundle with what its latents look like."""
    shutil.copytree(bundle.path, root)
    made = reference.measure(np.stack([reference.count(f[:channels]) for f in latents(500, 3, 5)]))
    (root / "device/reference.json").write_text(References(encoders=(made, made)).model_dump_json())
    entry = file_entry(root, "device/reference.json")
    write_manifest(root, bundle.manifest.model_copy(update={"reference": entry}))
    return Bundle.open(root, device_only=True)


def test_a_bundle_may_bring_its_reference(
    tmp_path: Path, bundle: Bundle, coder: Coder, log: Log, events: Events
) -> None:
    assert bundle.references() is None
    known = with_reference(bundle, tmp_path / "known")
    assert known.codec.id == bundle.codec.id
    coder = dataclasses.replace(coder, bundle=known)
    drift, alarms = make(tmp_path, log)
    feed(drift, coder, latents(300, 3, 6))
    assert drift.facts()["reference"] == "bundle"
    assert not alarms.names
    feed(drift, coder, latents(200, 1, 7))
    assert alarms.names == {"drift"}
    own, _ = make(tmp_path, log, "own")
    feed(own, coder, latents(1, 3, 6))
    assert own.facts()["reference"] == "learning"


def test_a_reference_of_another_codec_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"reference\.json: not of this codec"):
        with_reference(bundle, tmp_path / "other", channels=2).references()


def test_histograms_count_every_symbol_once() -> None:
    every = np.arange(-128, 128, dtype=np.int16).astype(np.int8).reshape(1, 16, 16)
    found = reference.count(every[:, ::2])
    assert found.shape == (1, reference.BINS)
    assert found.sum() == pytest.approx(1)
    zeros = reference.count(np.zeros((2, 3, 3), np.int8))
    assert (zeros[:, reference.BINS // 2] == 1).all()
    assert reference.distance(zeros, zeros) == 0
    # Histograms that have nothing in common are one bit apart.
    ones = reference.count(np.ones((2, 3, 3), np.int8))
    assert reference.distance(zeros, ones) == pytest.approx(1)
    assert reference.bits(ones, zeros) > 10
