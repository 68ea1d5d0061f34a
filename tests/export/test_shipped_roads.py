"""The bundle for road scenes, on pictures it was not trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.packet import HEADER_BYTES
from tactic_export.pictures import report_pictures
from tactic_export.runtimes import as_int8, run_onnx, run_tflite

ROOT = Path(__file__).parents[2] / "bundles/roads"
ARCHIVE = "camvid_q95.zip"
EVERY = 12
CLASSES = 11


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(ROOT)


@pytest.fixture(scope="module")
def report(bundle: Bundle) -> dict[str, Any]:
    """What the export measured on all of the pictures."""
    report: dict[str, Any] = json.loads((bundle.path / "parity.json").read_text())
    assert (report["task"], report["pictures"]) == ("segmentation", 233)
    return report


def test_every_encoder_gives_the_probe(bundle: Bundle) -> None:
    frames, expected = bundle.probe()
    assert (len(bundle.codec.encoders), bundle.codec.levels) == (2, 5)
    for files, latents in zip(bundle.codec.encoders, expected, strict=True):
        np.testing.assert_array_equal(run_onnx(ROOT / files.onnx.path, as_int8(frames)), latents)
        assert np.mean(run_tflite(ROOT / files.tflite.path, as_int8(frames)) != latents) < 1e-4


def test_int8_costs_next_to_nothing(report: dict[str, Any]) -> None:
    for level in report["levels"]:
        assert abs(level["bytes_int8"] / level["bytes_float"] - 1) <= 0.01
        assert level["same_answer"] >= 0.985
        assert abs(level["accuracy_int8"] - level["accuracy_float"]) <= 0.003


def test_masks_and_bytes_are_as_reported(
    bundle: Bundle, report: dict[str, Any], data: Path
) -> None:
    """From the picture to the stream, and from the stream to the mask."""
    assert (data / ARCHIVE).exists(), f"{data / ARCHIVE} is missing"
    all_pictures, all_masks = report_pictures(
        f"camvid:{data / ARCHIVE}", "", bundle.codec.stride, CLASSES, "segmentation"
    )
    pictures, masks = all_pictures[::EVERY], all_masks[::EVERY]
    latents = run_onnx(ROOT / bundle.codec.encoders[0].onnx.path, as_int8(pictures))
    sizes, decoded = [], np.empty_like(latents)
    for at, latent in enumerate(latents):
        planes = nest.split(latent, nest.layers(0, bundle.codec.levels))
        payload = stream.encode(planes, bundle.models[0])
        found = stream.decode(payload, bundle.models[0], planes.shape)
        joined = nest.join(found.planes, found.whole, bundle.codec.channels, 0, bundle.codec.levels)
        decoded[at] = joined.symbols
        sizes.append(HEADER_BYTES + len(payload))
    levels = np.zeros(latents.shape[:2], np.int64)
    drawn = run_onnx(ROOT / bundle.codec.decoder.path, decoded, levels)
    head = ROOT / bundle.manifest.heads[0].model.path
    known = masks >= 0
    clean, ours = run_onnx(head, pictures), run_onnx(head, drawn)
    of_level = report["levels"][0]
    assert abs(np.mean((clean == masks)[known]) - report["accuracy_clean"]) < 0.05
    assert abs(np.mean((ours == masks)[known]) - of_level["accuracy_int8"]) < 0.05
    assert abs(np.mean(ours == clean) - of_level["agreement_int8"]) < 0.05
    assert abs(np.mean(sizes) / of_level["bytes_int8"] - 1) < 0.1
