"""Evaluation: whole images, rounding, and figures that can be worked out by hand."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from tactic_train import imagenet
from tactic_train.data import Item, Mask, open_source
from tactic_train.density import LogisticMixture
from tactic_train.errors import DataError
from tactic_train.evaluate import evaluate
from tactic_train.heads import Head
from tactic_train.networks import BlockCodec, PaperCodec
from tactic_train.step import System
from tactic_train.warm_start import warm_start

BYTES = np.arange(256, dtype=np.uint8).view(np.int8)


class Bright(Head):
    """Class 1 where the picture is bright, else 0."""

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        mean = picture.mean(dim=(1, 2, 3))
        return [], torch.stack([1 - mean, mean], dim=1)


class Darkening(PaperCodec):
    """Codes nothing and draws black, or at coarser levels white."""

    def decode(self, latent: Tensor, level: Tensor) -> Tensor:
        shade = (level[:, :1] > 0).float()[:, :, None, None]
        return shade.expand(-1, 3, latent.shape[-2] * 4, latent.shape[-1] * 4)


class Even(LogisticMixture):
    """Two bits for every symbol, at coarser levels less."""

    def bits(self, latent: Tensor, level: Tensor) -> Tensor:
        return (2.0 / (1 + level))[:, :, None, None].expand_as(latent)


def items(photos: Path) -> tuple[Item, ...]:
    return open_source(f"imagefolder:{photos}").train


def test_figures_of_every_level_by_hand(photos: Path) -> None:
    system = System(Darkening(channels=5, levels=2), Even(5, levels=2), Bright())
    chosen = items(photos)
    both = evaluate(system, chosen, head_px=32)
    pictures = [item.decode() / 255 for item in chosen]
    dark = np.mean([p.mean() <= 0.5 for p in pictures])
    assert [metrics.level for metrics in both] == [0, 1]
    for metrics, shade, bits, alike in zip(both, (0, 1), (2, 1), (dark, 1 - dark), strict=True):
        psnr = [-10 * np.log10(np.square(p - shade).mean()) for p in pictures]
        assert (metrics.images, metrics.labelled, metrics.unreadable) == (12, 12, 0)
        assert metrics.psnr_db == pytest.approx(np.mean(psnr), abs=1e-2)
        assert metrics.bytes_per_image == pytest.approx(5 * 10 * 12 * bits / 8)
        assert metrics.bits_per_pixel == pytest.approx(5 * bits / 16)
        assert metrics.agreement == pytest.approx(alike, abs=1e-4)
        assert metrics.accuracy == pytest.approx(0.5)
    assert both[0].accuracy_uncompressed == both[1].accuracy_uncompressed


def test_a_coarser_level_sends_less_and_draws_worse(photos: Path) -> None:
    torch.manual_seed(0)
    chosen = items(photos)
    system = System(BlockCodec(24, levels=5), LogisticMixture(24, 5), Bright())
    cut = [np.array(item.decode()[:32, :48]) for item in chosen]
    pictures = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255
    warm_start(cast(BlockCodec, system.codec), system.density, pictures, step=0.4)
    found = evaluate(system, chosen, head_px=None)
    psnr, bits = ([getattr(m, name) for m in found] for name in ("psnr_db", "bits_per_pixel"))
    assert psnr == sorted(psnr, reverse=True) and psnr[0] > psnr[4] + 3
    assert bits == sorted(bits, reverse=True) and bits[0] > 2 * bits[4]


def test_an_image_is_cut_to_whole_strides_and_a_broken_one_counted(photos: Path) -> None:
    system = System(Darkening(channels=1), Even(1), Bright())
    good = items(photos)[0]
    whole = good.decode()[:39, :47]
    odd = Item("odd", good.read, -1)
    object.__setattr__(odd, "read", lambda: _png(whole))
    broken = Item("broken", lambda: b"text", 0)
    (metrics,) = evaluate(system, (odd, broken), head_px=None)
    assert (metrics.images, metrics.unreadable, metrics.labelled) == (1, 1, 0)
    assert metrics.bytes_per_image == pytest.approx(9 * 11 * 2 / 8, abs=0.1)
    assert metrics.agreement is metrics.accuracy is metrics.accuracy_uncompressed is None


def _png(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", picture)[1])


def test_a_match_chooses_images(photos: Path) -> None:
    system = System(Darkening(channels=1), Even(1), Bright())
    (metrics,) = evaluate(system, items(photos), None, match=lambda name: "circle" in name)
    assert metrics.images == 6
    with pytest.raises(DataError, match="none of 0 images"):
        evaluate(system, items(photos), None, match=imagenet.is_unseen)


def test_only_imagenets_own_validation_photos_are_unseen() -> None:
    assert imagenet.is_unseen("val/n02099601/ILSVRC2012_val_00000293.JPEG")
    assert not imagenet.is_unseen("val/n02099601/n02099601_293.JPEG")
    assert imagenet.class_index("n03888257") == imagenet.class_index("parachute") == 701
    assert imagenet.class_index("n00000000") is None


class BrightPixels(Head):
    """Class 1 where a pixel is bright, else 0; one of three classes is never given."""

    task = "segmentation"

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        mean = picture.mean(dim=1)
        return [], torch.stack([1 - mean, mean, mean - 9], dim=1)


def test_pixels_are_judged_over_all_images_together(scenes: Path) -> None:
    system = System(Darkening(channels=5, levels=2), Even(5, levels=2), BrightPixels())
    chosen = open_source(f"camvid:{scenes}").val
    classes = np.array([1, -1, -1, 0, -1, -1, -1, -1, 2, -1, -1, -1], np.int8)
    masks = [classes[item.decode_mask((40, 48, 3))] for item in chosen]
    items = tuple(
        replace(item, mask=Mask("m", functools.partial(_png, mask.view(np.uint8)), BYTES))
        for item, mask in zip(chosen, masks, strict=True)
    )
    found = evaluate(system, items, head_px=224)
    truth = np.stack(masks)
    answers = np.stack([(item.decode().mean(axis=2) > 127.5) for item in chosen])
    known = truth >= 0
    assert 0 < known.mean() < 1
    for metrics, drawn in zip(found, (False, True), strict=True):
        assert (metrics.images, metrics.labelled, metrics.head_px) == (2, 2, None)
        assert metrics.agreement == pytest.approx(np.mean(answers == drawn), abs=1e-3)
        assert metrics.accuracy == pytest.approx(np.mean(truth[known] == drawn), abs=1e-3)
        # One class is given everywhere, so its union is every known pixel.
        own = np.mean(truth[known] == drawn)
        assert metrics.miou == pytest.approx(own / 3, abs=1e-3)
        right = np.mean((truth == answers)[known])
        assert metrics.accuracy_uncompressed == pytest.approx(right, abs=1e-3)
        assert (metrics.miou_uncompressed or 0) > (metrics.miou or 0)


def test_images_without_masks_agree_but_have_no_accuracy(photos: Path) -> None:
    system = System(Darkening(channels=1), Even(1), BrightPixels())
    (metrics,) = evaluate(system, items(photos)[:2], head_px=32)
    assert (metrics.labelled, metrics.accuracy, metrics.miou) == (0, None, None)
    assert metrics.agreement is not None
    (unseen,) = evaluate(system, items(photos)[:2], head_px=None)
    assert unseen.agreement is unseen.miou is None
