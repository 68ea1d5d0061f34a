"""The tasks behind one interface: what each answers, and how it reads as JSON."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.types import FrameKey
from tactic_gateway.errors import DecodeError
from tactic_gateway.pipeline import Pipeline
from tactic_gateway.results import Finding, Result
from tactic_gateway.task import Classification, Segmenter, open_task
from tactic_gateway.task.png import palette, palette_png

MakeBundle = Callable[..., Path]


def pictures() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Two pictures of 3 x 4 pixels: mostly dark, and half middle, half bright."""
    found = np.zeros((2, 3, 4, 3), np.uint8)
    found[0, 0, 0] = 200
    found[1, :, :2], found[1, :, 2:] = 100, 255
    return found


@pytest.fixture
def segmenter(make_bundle: MakeBundle) -> Segmenter:
    bundle = Bundle.open(make_bundle("segments", task="segmentation"))
    opened = open_task(bundle, bundle.manifest.heads[0], threads=1, top=1)
    assert isinstance(opened, Segmenter)
    return opened


def test_a_segmenter_gives_masks_and_the_shares_of_classes(segmenter: Segmenter) -> None:
    assert segmenter.task == "segmentation"
    masks = segmenter.classes(pictures())
    assert masks.tolist() == [[[2, 0, 0, 0], [0] * 4, [0] * 4], [[1, 1, 2, 2]] * 3]
    first, second = segmenter.answers(pictures())
    shares = [(c.label, c.index, c.share) for c in first.classes]
    assert shares == [("dark", 0, 11 / 12), ("bright", 2, 1 / 12)]
    assert [(c.index, c.share) for c in second.classes] == [(1, 0.5), (2, 0.5)]
    for answer, mask in zip((first, second), masks, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.mask_png))), mask)


def test_a_classifier_answers_its_best_classes(bundle: Bundle) -> None:
    opened = open_task(bundle, bundle.manifest.heads[0], threads=1, top=2)
    assert opened.classes(pictures()).tolist() == [0, 2]
    for answer, best in zip(opened.answers(pictures()), (0, 2), strict=True):
        assert isinstance(answer, Classification)
        assert [c.index for c in answer.classes] == [best, 1]


def test_a_segmentation_as_json(segmenter: Segmenter) -> None:
    answer = segmenter.answers(pictures())[0]
    finding = Finding("segmentation", "h", "0123abcd", answer.fields())
    body = json.loads(Result(FrameKey("cam", 1, 2), finding, None, 9, 1.5).to_json())
    assert body.pop("mask_png") == base64.b64encode(answer.mask_png).decode()
    assert body.pop("classes")[1] == {"label": "bright", "index": 2, "share": 0.083333}
    assert body == {
        "node": "cam",
        "boot": 1,
        "seq": 2,
        "task": "segmentation",
        "head": "h",
        "model": "0123abcd",
        "captured_unix_ns": None,
        "parts": 0,
        "wire_bytes": 9,
        "latency_ms": 1.5,
    }


def test_a_frame_becomes_a_mask_of_its_size(
    make_bundle: MakeBundle, make_frame: Callable[..., bytes]
) -> None:
    # The codec is that of the other bundle, and so are its packets.
    pipeline = Pipeline(Bundle.open(make_bundle("tiny", task="segmentation")), threads=1, top=1)
    (verdict,) = pipeline.process([[make_frame(0, value=20, geometry=1)]])
    assert verdict.failure is None
    (finding,) = verdict.findings
    png = base64.b64decode(str(finding.fields["mask_png"]))
    mask = np.asarray(Image.open(io.BytesIO(png)))
    assert mask.shape == (8, 24)
    classes = finding.fields["classes"]
    assert isinstance(classes, list)
    assert {each["index"] for each in classes} == set(np.unique(mask))


def test_masks_that_do_not_fit_are_refused(
    make_bundle: MakeBundle, replaced: Callable[[Path, str, bytes], Bundle]
) -> None:
    bundle = Bundle.open(make_bundle("few", ("dark",), "segmentation"))
    opened = open_task(bundle, bundle.manifest.heads[0], threads=1, top=1)
    with pytest.raises(DecodeError, match="gives class 2 of 1 labels"):
        opened.classes(pictures())
    scores = Bundle.open(make_bundle("scores"))
    head = scores.manifest.heads[0].model_copy(update={"task": "segmentation"})
    with pytest.raises(DecodeError, match=r"gives float32 \(2, 3\) for pictures"):
        open_task(scores, head, threads=1, top=1).classes(pictures())
    empty = replaced(make_bundle("empty", ()), "gateway/labels.txt", b"")
    with pytest.raises(BundleError, match=r"labels\.txt is empty"):
        open_task(empty, empty.manifest.heads[0], threads=1, top=1)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 256), st.integers(0, 99))
def test_a_png_holds_the_mask(height: int, width: int, colours: int, seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, colours, (height, width), np.uint8)
    picture = Image.open(io.BytesIO(palette_png(mask, colours)))
    assert (picture.mode, picture.size) == ("P", (width, height))
    assert np.array_equal(np.asarray(picture), mask)
    assert np.array_equal(np.asarray(picture.convert("RGB")), palette(colours)[mask])


def test_colours_differ() -> None:
    assert len(np.unique(palette(256), axis=0)) == 256
    assert palette(3).tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
