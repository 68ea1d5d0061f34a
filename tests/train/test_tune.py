"""A head is tuned by one schedule, whatever the pictures are, and goes on where it was killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tactic_train import tune
from tactic_train.errors import CheckpointError, TrainError
from tactic_train.heads import Head, Task, make_head
from tactic_train.losses import task_from_masks
from tactic_train.tune import Labels, Pictures, Tuning, answers, save_weights, tune_head

SCHEDULE = Tuning(steps=60, batch=8, learning_rate=0.05, head_px=32)


class Colour(Head):
    """Two classes by the mean colour of a picture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(3, 2)

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        return [], self.net(picture.mean(dim=(2, 3)))


def silent(line: str) -> None:
    del line


@pytest.fixture
def pictures() -> tuple[Pictures, Labels]:
    """Reddish and bluish ones; uint8 (24, 32, 32, 3)."""
    labels = np.arange(24) % 2
    found = np.random.default_rng(0).integers(0, 150, (24, 32, 32, 3), np.uint8)
    found[labels == 0, ..., 0] += 80
    found[labels == 1, ..., 2] += 80
    return found, labels


def tuned(pictures: tuple[Pictures, Labels], path: Path, seed: int = 1) -> Colour:
    head = Colour()
    tune_head(head, *pictures, SCHEDULE, seed=seed, checkpoint=path, say=silent)
    return head


def test_it_learns_and_leaves_the_head_at_rest(
    pictures: tuple[Pictures, Labels], tmp_path: Path
) -> None:
    head = tuned(pictures, tmp_path / "tune.pt")
    assert np.array_equal(answers(head, pictures[0], 32), pictures[1])
    assert not any(p.requires_grad for p in head.parameters())


def test_killed_and_resumed_is_uninterrupted(
    pictures: tuple[Pictures, Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tuned(pictures, tmp_path / "whole.pt")
    usual = Tuning.rate_at

    def fatal(schedule: Tuning, step: int) -> float:
        if step == 45:
            raise KeyboardInterrupt
        return usual(schedule, step)

    monkeypatch.setattr(tune, "SAVE_EVERY", 20)
    monkeypatch.setattr(Tuning, "rate_at", fatal)
    with pytest.raises(KeyboardInterrupt):
        tuned(pictures, tmp_path / "killed.pt")
    steps: list[int] = []

    def counted(schedule: Tuning, step: int) -> float:
        steps.append(step)
        return usual(schedule, step)

    monkeypatch.setattr(Tuning, "rate_at", counted)
    resumed = tuned(pictures, tmp_path / "killed.pt")
    assert steps == list(range(40, 60))
    assert torch.equal(resumed.net.weight, whole.net.weight)
    assert tuned(pictures, tmp_path / "killed.pt").net.weight.equal(whole.net.weight)
    assert len(steps) == 20, "a finished head is not tuned again"


def test_the_schedule_depends_on_the_seed_alone(
    pictures: tuple[Pictures, Labels], tmp_path: Path
) -> None:
    first, second = (tuned(pictures, tmp_path / f"{n}.pt").net.weight for n in "ab")
    assert torch.equal(first, second)
    assert not torch.equal(tuned(pictures, tmp_path / "c.pt", seed=2).net.weight, first)


def test_the_rate_rises_and_falls_to_nothing() -> None:
    rates = [SCHEDULE.rate_at(step) for step in range(60)]
    assert rates[0] < rates[2] < rates[5] > rates[30] > rates[59]
    assert max(rates) <= SCHEDULE.learning_rate
    assert rates[59] < 0.01 * SCHEDULE.learning_rate
    assert Tuning(steps=1, learning_rate=0.1, head_px=32).rate_at(0) == pytest.approx(0.1)


def test_pictures_and_masks_are_mirrored_together() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (8, 4, 6, 3), np.uint8)
    flips = np.arange(8) % 3 == 0
    found, masks = tune._mirror(pictures, flips), tune._mirror(pictures[..., 0], flips)
    assert np.array_equal(found[~flips], pictures[~flips])
    assert np.array_equal(found[flips], pictures[flips][:, :, ::-1])
    assert np.array_equal(masks, found[..., 0])
    assert np.array_equal(tune._mirror(np.arange(8), flips), np.arange(8))


class Dots(Head):
    """A class for every pixel, by its own colour."""

    task: Task = "segmentation"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Conv2d(3, 2, 1)

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        return [], self.net(picture)


def test_a_head_that_segments_learns_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = np.repeat(rng.integers(0, 2, (12, 8, 1), np.int8), 8, axis=2)
    masks[:, :, 5:] ^= 1
    pictures = rng.integers(0, 100, (12, 8, 8, 3), np.uint8)
    pictures[..., 2] += (100 * masks).astype(np.uint8)
    void = np.where(rng.random(masks.shape) < 0.1, -1, masks)
    head = Dots()
    tune_head(
        head,
        pictures,
        void,
        SCHEDULE,
        seed=1,
        checkpoint=tmp_path / "tune.pt",
        say=silent,
        loss=lambda scores, truth: task_from_masks(scores, truth, torch.ones(2), 0.5),
    )
    assert (answers(head, pictures, 32) == masks).mean() > 0.9


def test_files_that_are_not_its_own(pictures: tuple[Pictures, Labels], tmp_path: Path) -> None:
    path = tmp_path / "tune.pt"
    tuned(pictures, path)
    with pytest.raises(CheckpointError, match=r"tune\.pt: of another schedule or seed; delete it"):
        tuned(pictures, path, seed=2)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"tune\.pt: damaged; delete it"):
        tuned(pictures, path)


def test_a_loss_that_is_not_finite_stops(pictures: tuple[Pictures, Labels], tmp_path: Path) -> None:
    head = Colour()
    with torch.no_grad():
        head.net.weight.fill_(torch.nan)
    with pytest.raises(TrainError, match="not finite at step 20"):
        tune_head(head, *pictures, SCHEDULE, seed=1, checkpoint=tmp_path / "t.pt", say=silent)
    assert not (tmp_path / "t.pt").exists()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "torchvision:mobilenet_v3_small"])
def test_weights_written_are_those_read(name: str, tmp_path: Path) -> None:
    head = make_head(name, 3)
    with torch.no_grad():
        next(head.parameters()).mul_(1.5)
    save_weights(head, tmp_path / "head.pt")
    back = make_head(name, 3, tmp_path / "head.pt")
    assert not back.fresh
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(back(picture, 32), head(picture, 32))
