"""Drift on real photos, with the shipped bundle: `imagenet20` first, then scenes from above."""

from __future__ import annotations

import dataclasses
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_codec import reference
from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.reference import References
from tactic_device import encoders
from tactic_device.alarms import Alarms
from tactic_device.coder import Coder, find_geometry
from tactic_device.config import DriftSettings
from tactic_device.drift import Drift
from tactic_device.log import Log
from tactic_device.sources import Shot

BUNDLE = Path(__file__).parents[2] / "bundles/photo1000"
LEARN, MORE, WITHIN = 1000, 5000, 200


@pytest.fixture(scope="module")
def coder() -> Coder:
    bundle = Bundle.open(BUNDLE)
    choice = encoders.choose(bundle, bundle.manifest.default_level, "auto", 1)
    geometry = find_geometry(bundle, "128x128")
    return Coder(bundle, choice.encoder, geometry, bundle.manifest.default_level)


def latents(coder: Coder, archive: Path, count: int, seed: int) -> Iterator[NDArray[np.int8]]:
    with zipfile.ZipFile(archive) as photos:
        names = [n for n in photos.namelist() if n.lower().endswith((".jpg", ".jpeg"))]
        order = np.random.default_rng(seed).permutation(len(names))[:count]
        assert len(order) == count
        for index in order:
            coded = np.frombuffer(photos.read(names[index]), np.uint8)
            picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)
            assert picture is not None
            pixels = np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)
            yield coder.latent(Shot(pixels, 0))


@pytest.mark.parametrize("source", ["learnt", "bundle"])
def test_another_kind_of_picture_is_noticed_and_the_same_kind_is_not(
    data: Path, tmp_path: Path, coder: Coder, source: str
) -> None:
    photos = latents(coder, data / "imagenet20_128_q90.zip", LEARN + MORE, seed=1)
    first = [next(photos) for _ in range(LEARN)]
    alarms = Alarms(Log(io.StringIO()), lambda: None)
    drift = Drift(DriftSettings(learn_frames=LEARN), tmp_path, alarms, Log(io.StringIO()))
    if source == "bundle":
        coder = _with_reference(coder, first, tmp_path / "bundle")
    else:
        for latent in first:
            drift.look(coder, latent)
    worst = 0.0
    for latent in photos:
        drift.look(coder, latent)
        assert not alarms.names
        facts = drift.facts()
        worst = max(worst, float(str(facts["distance"] or 0)) / float(str(facts["limit"])))
    assert drift.facts()["reference"] == source
    # Not by a hair: what chance gives stays well below the limit.
    assert worst < 0.8
    fields = latents(coder, data / "rsscn7_128_q88.zip", WITHIN, seed=2)
    rose = next((n for n, each in enumerate(fields, 1) if _look(drift, coder, each, alarms)), None)
    print(f"{source}: worst {worst:.2f} of the limit in {MORE}; alarm after {rose} frames")
    assert rose is not None


def _look(drift: Drift, coder: Coder, latent: NDArray[np.int8], alarms: Alarms) -> bool:
    drift.look(coder, latent)
    return bool(alarms.names)


def _with_reference(coder: Coder, known: list[NDArray[np.int8]], root: Path) -> Coder:
    """The same codec from a bundle that says what its latents look like."""
    shutil.copytree(BUNDLE, root)
    made = reference.measure(np.stack([reference.count(latent) for latent in known]))
    (root / "device/reference.json").write_text(References(encoders=(made, made)).model_dump_json())
    entry = file_entry(root, "device/reference.json")
    write_manifest(root, coder.bundle.manifest.model_copy(update={"reference": entry}))
    return dataclasses.replace(coder, bundle=Bundle.open(root))
