"""Order, crops and draws depend on the seed and the step, and on nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tactic_train.batches import Crops, Draw, StepSampler, draw, make_loader, some_crops
from tactic_train.config import Data
from tactic_train.data import Item, open_source
from tactic_train.errors import DataError
from tactic_train.windows import PHOTO_PX, crop, crop_mask, random_window, shrunk


def keys(start: int, stop: int, share: slice = slice(None)) -> list[list[tuple[int, int]]]:
    return list(StepSampler(10, 4, share, seed=7, start=start, stop=stop))


def test_every_epoch_shows_every_image_once() -> None:
    order = [item for batch in keys(0, 5) for _, item in batch]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


def test_a_later_start_goes_on_with_the_same_batches() -> None:
    assert keys(0, 6)[3:] == keys(3, 6)


def test_shares_of_processes_make_up_the_batch() -> None:
    halves = zip(keys(0, 4, slice(0, 2)), keys(0, 4, slice(2, 4)), strict=True)
    assert [a + b for a, b in halves] == keys(0, 4)


def test_order_and_draws_never_change_between_versions() -> None:
    assert [item for _, item in keys(0, 1)[0]] == [8, 0, 7, 1]
    drawn = draw(7, 1, (3, 16, 1, 1), levels=2, tail_drop=0.5)
    first = [0.09261, 0.269494, -0.471036]
    assert drawn.noise[0, :3, 0, 0].tolist() == pytest.approx(first, abs=1e-6)
    assert drawn.level.tolist() == [[0] * 16, [0] * 2 + [2] * 14, [1] * 16]


def same(a: Draw, b: Draw) -> list[bool]:
    return [torch.equal(x, y) for x, y in zip(a, b, strict=True)]


def test_a_draw_is_a_function_of_seed_and_step() -> None:
    shape = (64, 8, 4, 4)
    drawn = draw(1, 5, shape, levels=3, tail_drop=0.5)
    np.random.default_rng().random()
    assert same(drawn, draw(1, 5, shape, 3, 0.5)) == [True, True]
    assert same(drawn, draw(1, 6, shape, 3, 0.5)) == [False, False]
    other = draw(2, 5, shape, 3, 0.5)
    assert same(drawn, other) == [False, False]
    # The images' own levels go in turn, whatever the seed.
    assert torch.equal(drawn.level[:, 0], other.level[:, 0])


def test_noise_is_uniform() -> None:
    noise = draw(1, 5, (64, 8, 4, 4), levels=1, tail_drop=0.0).noise
    assert noise.dtype == torch.float32
    assert -0.5 <= noise.min() < -0.49 and 0.49 < noise.max() < 0.5
    assert noise.mean().abs() < 0.02
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.05)


def test_levels_go_in_turn_and_finer_ones_have_more_turns() -> None:
    drawn = [draw(0, step, (4, 2, 1, 1), 3, 0.0).level for step in range(3)]
    first = torch.cat(drawn)[:, 0].tolist()
    assert first == [0, 0, 0, 1, 1, 2] * 2
    assert all(torch.equal(level, level[:, :1].expand_as(level)) for level in drawn)
    assert drawn[0].dtype == torch.int64


@pytest.mark.parametrize("levels", [1, 2, 5, 8])
@pytest.mark.parametrize("batch", [1, 15, 16])
def test_level_k_of_l_has_l_minus_k_turns(levels: int, batch: int) -> None:
    turns = levels * (levels + 1) // 2
    drawn = [draw(0, step, (batch, 1, 1, 1), levels, 0.0).level for step in range(turns)]
    counts = torch.cat(drawn).flatten().bincount()
    assert counts.tolist() == [batch * (levels - k) for k in range(levels)]


@pytest.mark.parametrize(("channels", "fewest"), [(64, 8), (4, 1)])
def test_the_last_channels_are_coarser_down_to_an_eighth(channels: int, fewest: int) -> None:
    shape = (4000, channels, 1, 1)
    none, some, all_ = (
        (level == level[:, :1]).sum(dim=1)
        for level in (draw(0, 0, shape, 3, share).level for share in (0.0, 0.2, 1.0))
    )
    assert (none == channels).all()
    assert [int(all_.min()), int(all_.max())] == [fewest, channels]
    # Who may have coarser channels may also have none.
    chance = 1 - 1 / (channels - fewest + 1)
    assert (some < channels).float().mean().item() == pytest.approx(0.2 * chance, abs=0.02)
    assert all_.float().mean().item() == pytest.approx((fewest + channels) / 2, rel=0.03)


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_coarser_channels_are_two_levels_coarser_or_not_sent(levels: int) -> None:
    level = draw(0, 0, (500, 8, 1, 1), levels, tail_drop=1.0).level
    first, last = level[:, :1], level[:, -1:]
    assert torch.equal(level.sort(dim=1).values, level)
    assert torch.equal((level == first) | (level == last), torch.ones_like(level, dtype=torch.bool))
    cut = (first != last).flatten()
    assert torch.equal(last[cut], (first[cut] + 2).clamp(max=levels))
    assert set(first.flatten().tolist()) == set(range(levels))


@pytest.mark.parametrize("size", [(40, 48), (5, 9), (1, 1), (300, 33)])
def test_crops_of_any_picture_have_the_size_asked_for(size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    for seed in range(5):
        window = random_window(picture.shape, 32, np.random.default_rng(seed))
        assert crop(picture, window, 32).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("shape", "least_part", "sizes"),
    [
        ((32, 32, 3), 1.0, {32}),
        ((20, 50, 3), 1.0, {20}),
        ((34, 40, 3), 1.0, {32, 33, 34}),
        ((32, 32, 3), 0.9, {28, 29, 30, 31, 32}),
        ((40, 40, 3), 0.75, {30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40}),
    ],
)
def test_small_pictures_are_enlarged_as_far_as_asked_for(
    shape: tuple[int, ...], least_part: float, sizes: set[int]
) -> None:
    rngs = map(np.random.default_rng, range(80))
    assert {random_window(shape, 32, rng, least_part).size_px for rng in rngs} == sizes


def test_fitting_and_training_crops_are_cut_alike(photos: Path) -> None:
    items = open_source(f"imagefolder:{photos}").train
    whole = Data(sources=("none",), crop_px=64, least_part=1.0)
    parts = Data(sources=("none",), crop_px=64, least_part=0.5)
    assert not torch.equal(some_crops(items, whole, seed=1), some_crops(items, parts, seed=1))
    keys = next(iter(StepSampler(len(items), len(items), slice(None), seed=1, start=0, stop=1)))
    crops = Crops(items, 64, seed=1, least_part=1.0)
    cut = torch.stack([crops[key].picture for key in keys]).float() / 255
    torch.testing.assert_close(some_crops(items, whole, seed=1)[: len(items)], cut)
    different = {each.numpy().tobytes() for each in some_crops(items, parts, seed=1)}
    assert len(different) > 0.9 * 192, "few photos are cut in many ways"


# From Python 3.12 on a fork beside torch's threads is warned of.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_read_a_zip_to_the_same_batches(photos_zip: Path) -> None:
    items = open_source(f"imagefolder:{photos_zip}").train
    sampler = StepSampler(len(items), 4, slice(None), seed=1, start=0, stop=6)
    alone, helped = (
        list(make_loader(Crops(items, 32, seed=1), sampler, workers)) for workers in (0, 2)
    )
    for a, b in zip(alone, helped, strict=True):
        assert torch.equal(a.picture, b.picture)
        assert torch.equal(a.label, b.label)


def test_large_photos_are_shrunk_and_others_left() -> None:
    large = np.zeros((2 * PHOTO_PX, 3 * PHOTO_PX, 3), np.uint8)
    large[:, : 3 * PHOTO_PX // 2] = 200
    small = shrunk(large)
    assert small.shape == (PHOTO_PX, 3 * PHOTO_PX // 2, 3)
    assert (small[:, 0] == 200).all() and (small[:, -1] == 0).all()
    assert shrunk(small) is small


def broken() -> bytes:
    raise OSError("disk fault")


def test_the_next_image_stands_in_for_a_broken_one(photos: Path) -> None:
    good = open_source(f"imagefolder:{photos}").train[:2]
    items = (good[0], Item("bad.png", broken, 0), Item("text.png", lambda: b"text", 0), good[1])
    crops = Crops(items, 32, seed=0)
    sample = crops[0, 1]
    assert sample.broken == 1
    assert sample.label == good[1].label
    assert crops[0, 0].broken == -1
    with pytest.raises(DataError, match=r"bad\.png"):
        Crops(items[1:3], 32, seed=0)[0, 0]


def test_the_cache_keeps_within_its_bound(photos: Path) -> None:
    reads = []
    source = open_source(f"imagefolder:{photos}").train[:4]

    def counted(item: Item) -> Item:
        def read() -> bytes:
            reads.append(item.name)
            return item.read()

        return Item(item.name, read, item.label)

    picture_bytes = 40 * 48 * 3
    crops = Crops(tuple(map(counted, source)), 32, seed=0, cache_bytes=2 * picture_bytes)
    for step in range(3):
        for index in range(4):
            crops[step, index]
    assert len(reads) == 4 + 2 * 2


@pytest.mark.parametrize("size", [(40, 48), (5, 9), (1, 1), (300, 33)])
def test_a_mask_is_cut_and_scaled_with_its_picture(size: tuple[int, int]) -> None:
    # Broad stripes: what lies well inside one keeps its colour, however it is scaled.
    mask = (np.add.outer(np.arange(size[0]) // 11, np.arange(size[1]) // 11) % 5).astype(np.int8)
    picture = np.repeat((mask * 50).astype(np.uint8)[..., None], 3, axis=2)
    for seed in range(8):
        window = random_window(size, 32, np.random.default_rng(seed))
        classes, colours = crop_mask(mask, window, 32), crop(picture, window, 32)
        assert classes.shape == (32, 32) and classes.dtype == np.int8
        agrees = (colours == (classes * 50).astype(np.uint8)[..., None]).all(axis=2)
        assert agrees.mean() > 0.7
        if window.size_px == 32:
            assert agrees.all()


def test_where_one_image_has_a_mask_every_label_is_one(scenes: Path, photos: Path) -> None:
    items = (
        *open_source(f"camvid:{scenes}").train[:2],
        *open_source(f"unlabelled:{photos}").train[:1],
    )
    crops = Crops(items, 32, seed=0)
    labels = torch.stack([crops[0, index].label for index in range(3)])
    assert (labels.dtype, labels.shape) == (torch.int64, (3, 32, 32))
    classes = set(labels[:2].flatten().tolist())
    assert len(classes) >= 2 and classes <= {-1, 0, 3, 8}
    assert (labels[2] == -1).all()


def test_an_image_whose_mask_is_broken_is_broken(scenes: Path) -> None:
    good, bad = open_source(f"camvid:{scenes}").train[:2]
    assert bad.mask
    bad = replace(bad, mask=replace(bad.mask, read=lambda: b"text"))
    sample = Crops((good, bad), 32, seed=0)[0, 1]
    assert sample.broken == 1


def test_crops_never_change_between_versions(photos: Path) -> None:
    crops = Crops(open_source(f"imagefolder:{photos}").train, 32, seed=5)
    labels = [int(crops[3, index].label) for index in range(12)]
    assert labels == [0] * 6 + [1] * 6
    sums = [int(crops[3, index].picture.long().sum()) for index in range(3)]
    assert sums == [448098, 404318, 519526]
