"""Evaluation: whole images, rounding, and figures that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from tactic_train import imagenet
from tactic_train.data import Item, open_source
from tactic_train.density import LogisticMixture
from tactic_train.errors import DataError
from tactic_train.evaluate import evaluate
from tactic_train.heads import Head
from tactic_train.networks import BlockCodec, PaperCodec
from tactic_train.step import System
from tactic_train.warm_start import warm_start


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
