"""The bundle that ships, on photos it was not trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.packet import HEADER_BYTES
from tactic_export.pictures import report_pictures
from tactic_export.runtimes import as_int8, run_onnx, run_tflite
from tactic_train import bootstrap
from tactic_train.errors import CheckpointError
from tactic_train.from_bundle import load_bundle
from tactic_train.networks import ARCHITECTURES, Codec

ROOT = Path(__file__).parents[2] / "bundles/photo1000"
ARCHIVE = "imagenet20_128_q90.zip"
EVERY = 5
MOST_SHARE, MOST_LSB = 1e-4, 1


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(ROOT)


@pytest.fixture(scope="module")
def report(bundle: Bundle) -> dict[str, Any]:
    """What the export measured on all of the photos."""
    assert "parity.json" in {entry.path for entry in bundle.manifest.documents}
    report: dict[str, Any] = json.loads((bundle.path / "parity.json").read_text())
    return report


@pytest.fixture(scope="module")
def level(bundle: Bundle) -> int:
    """The rate level that nodes use."""
    return bundle.manifest.default_level


@pytest.fixture(scope="module")
def parity(report: dict[str, Any], level: int) -> dict[str, Any]:
    """Its part of the report."""
    part: dict[str, Any] = report["levels"][level]
    return part


@pytest.fixture(scope="module")
def all_photos(bundle: Bundle, data: Path) -> tuple[NDArray[np.uint8], NDArray[np.integer[Any]]]:
    """The ILSVRC validation photos, and their classes."""
    assert (data / ARCHIVE).exists(), f"{data / ARCHIVE} is missing"
    pictures, labels = report_pictures(
        f"imagefolder:{data / ARCHIVE}", "ILSVRC", bundle.codec.stride
    )
    assert len(pictures) == 1000
    return pictures, labels


@pytest.fixture(scope="module")
def photos(
    all_photos: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Every fifth of them."""
    pictures, labels = all_photos
    return pictures[::EVERY], labels[::EVERY]


@pytest.fixture(scope="module")
def latents(
    bundle: Bundle, level: int, photos: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> NDArray[np.int8]:
    """Those of ONNX Runtime at the level."""
    model = ROOT / bundle.codec.encoders[nest.chain(level)].onnx.path
    return nest.coarsen(run_onnx(model, as_int8(photos[0])), level // 2)


def assert_near(found: NDArray[np.generic], reference: NDArray[np.int8]) -> None:
    gap = np.abs(found.astype(int) - reference)
    assert gap.max() <= MOST_LSB
    assert np.count_nonzero(gap) <= max(1, MOST_SHARE * gap.size)


def test_every_encoder_gives_the_probe(bundle: Bundle) -> None:
    frames, expected = bundle.probe()
    assert (len(bundle.codec.encoders), bundle.codec.levels) == (2, 5)
    for files, latents in zip(bundle.codec.encoders, expected, strict=True):
        assert_near(run_onnx(ROOT / files.onnx.path, as_int8(frames)), latents)
        assert_near(run_tflite(ROOT / files.tflite.path, as_int8(frames)), latents)


def test_int8_costs_next_to_nothing(report: dict[str, Any]) -> None:
    assert report["pictures"] == 1000
    for level in report["levels"]:
        assert abs(level["bytes_int8"] / level["bytes_float"] - 1) <= 0.01
        assert level["same_answer"] >= 0.985
        assert abs(level["accuracy_int8"] - level["accuracy_float"]) <= 0.003
        for runtime in ("onnxruntime", "litert"):
            assert level[runtime]["latents_differing"] <= MOST_SHARE
            assert level[runtime]["largest_difference"] <= MOST_LSB


@torch.no_grad()
def test_integers_are_right_as_often_as_floats(
    bundle: Bundle, all_photos: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    """On all photos at every level; the floats are those that the integers stand for."""
    (pictures, labels), declared = all_photos, bundle.codec
    codec = ARCHITECTURES[declared.arch](channels=declared.channels, levels=declared.levels)
    load_bundle(bundle.path, codec)
    head = ROOT / bundle.manifest.heads[0].model.path
    files = [ROOT / each.onnx.path for each in declared.encoders]
    chains = [
        (
            run_onnx(file, as_int8(pictures)),
            float_latents(codec, units(file) / units(files[0]), pictures),
        )
        for file in files
    ]
    for level in range(declared.levels):
        integer, floating = (nest.coarsen(each, level // 2) for each in chains[nest.chain(level)])
        # The same symbols have the same answer.
        unlike = (integer != floating).any(axis=(1, 2, 3))
        same, change = np.ones(len(pictures), bool), np.zeros(len(pictures))
        if unlike.any():
            levels = np.full((np.count_nonzero(unlike), declared.channels), level)
            ours, theirs = (
                run_onnx(head, run_onnx(ROOT / declared.decoder.path, each[unlike], levels))
                .argmax(axis=1)
                for each in (integer, floating)
            )  # fmt: skip
            same[unlike] = ours == theirs
            right = [(each == labels[unlike]).astype(float) for each in (ours, theirs)]
            change[unlike] = right[0] - right[1]
        found = bootstrap.interval(change @ bootstrap.weights(len(change)))
        print(
            f"level {level}: {unlike.sum()} of {len(same)} photos have other symbols, "
            f"same answer {same.mean():.1%}, int8 less float {100 * change.mean():+.2f} points, "
            f"95 % {found}"
        )
        assert same.mean() >= 0.985
        assert found is not None
        assert max(map(abs, found)) <= 0.003


def units(encoder: Path) -> NDArray[np.float32]:
    """Of each channel's sums, in steps of its symbols; float32 (C,)."""
    constants = {
        each.name: numpy_helper.to_array(each) for each in onnx.load(encoder).graph.initializer
    }
    found: NDArray[np.float32] = constants["weight_scale_0"] / constants["out_0_scale"]
    return found


def float_latents(
    codec: Codec, ratio: NDArray[np.float32], pictures: NDArray[np.uint8]
) -> NDArray[np.int8]:
    """Symbols by sums in float32: by channel so many times those of level 0."""
    found = []
    for part in np.split(pictures, 20):
        x = torch.from_numpy(part).permute(0, 3, 1, 2).float() / 255
        latent = codec.encode(x, torch.zeros(len(x), codec.channels, dtype=torch.int64))
        latent = latent * torch.from_numpy(ratio)[:, None, None]
        found.append(latent.round().clamp(-128, 127).to(torch.int8).numpy())
    return np.concatenate(found)


def test_runtimes_agree_on_photos(
    bundle: Bundle,
    level: int,
    photos: tuple[NDArray[np.uint8], NDArray[np.int64]],
    latents: NDArray[np.int8],
) -> None:
    model = ROOT / bundle.codec.encoders[nest.chain(level)].tflite.path
    assert_near(nest.coarsen(run_tflite(model, as_int8(photos[0])), level // 2), latents)


def test_streams_decode_exactly_and_have_the_reported_size(
    bundle: Bundle, level: int, latents: NDArray[np.int8], parity: dict[str, Any]
) -> None:
    codec, model = bundle.codec, bundle.models[nest.chain(level)]
    planes = [nest.split(latent, nest.layers(level, codec.levels)) for latent in latents]
    payloads = [stream.encode(each, model) for each in planes]
    for payload, sent, latent in zip(payloads, planes, latents, strict=True):
        decoded = stream.decode(payload, model, sent.shape)
        found = nest.join(decoded.planes, decoded.whole, codec.channels, level, codec.levels)
        np.testing.assert_array_equal(found.symbols, latent)
        assert (found.levels == level).all()
    mean_bytes = HEADER_BYTES + np.mean([len(payload) for payload in payloads])
    assert abs(mean_bytes / parity["bytes_int8"] - 1) < 0.03


def test_answers_are_as_reported(
    bundle: Bundle,
    level: int,
    report: dict[str, Any],
    photos: tuple[NDArray[np.uint8], NDArray[np.int64]],
    latents: NDArray[np.int8],
    parity: dict[str, Any],
) -> None:
    pictures, labels = photos
    head = ROOT / bundle.manifest.heads[0].model.path
    clean = run_onnx(head, pictures).argmax(axis=1)
    levels = np.full(latents.shape[:2], level)
    decoded = run_onnx(ROOT / bundle.codec.decoder.path, latents, levels)
    ours = run_onnx(head, decoded).argmax(axis=1)
    psnr_db = 10 * np.log10(255**2 / np.mean((decoded.astype(float) - pictures) ** 2))
    # A fifth of the photos: three standard deviations of a share are at most 10 points.
    assert abs(np.mean(clean == labels) - report["accuracy_clean"]) < 0.1
    assert abs(np.mean(ours == labels) - parity["accuracy_int8"]) < 0.1
    assert abs(np.mean(ours == clean) - parity["agreement_int8"]) < 0.1
    assert abs(psnr_db - parity["psnr_db_int8"]) < 0.5


def test_training_can_begin_with_it(bundle: Bundle) -> None:
    """The same symbols, and the same pictures from them as the gateway makes."""
    declared = bundle.codec
    codec = ARCHITECTURES[declared.arch](channels=declared.channels, levels=declared.levels)
    load_bundle(bundle.path, codec)
    frames, latents = bundle.probe()
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    decoder = ort.InferenceSession(bundle.read(declared.decoder))
    for number, symbols in enumerate(latents):
        level = torch.full((len(frames), declared.channels), number)
        with torch.no_grad():
            found = codec.encode(pictures, level).round()
            drawn = codec.decode(torch.from_numpy(symbols).float(), level)
        assert (found.numpy() != symbols).mean() < 1e-3
        theirs = decoder.run(None, {"latent": symbols, "level": level.numpy()})[0]
        ours = (drawn * 255).round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
        assert np.abs(theirs.astype(np.int16) - ours).max() <= 1


def test_a_bundle_of_another_network_is_no_start(bundle: Bundle) -> None:
    other = ARCHITECTURES[bundle.codec.arch](channels=32, levels=bundle.codec.levels)
    with pytest.raises(CheckpointError, match="channels 64, where the configuration has 32"):
        load_bundle(bundle.path, other)
