"""A head is tuned by one schedule, whatever the pictures are, and goes on where it was killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tactic_train import tune
from tactic_train.errors import CheckpointError, TrainError
from tactic_train.heads import Head, make_head
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
    usual = tune._step

    def fatal(*arguments: object) -> Tensor:
        if arguments[-1] == 45:
            raise KeyboardInterrupt
        return usual(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tune, "SAVE_EVERY", 20)
    monkeypatch.setattr(tune, "_step", fatal)
    with pytest.raises(KeyboardInterrupt):
        tuned(pictures, tmp_path / "killed.pt")
    steps: list[int] = []

    def counted(*arguments: object) -> Tensor:
        steps.append(int(str(arguments[-1])))
        return usual(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tune, "_step", counted)
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


def test_pictures_are_mirrored_by_chance(pictures: tuple[Pictures, Labels]) -> None:
    before = torch.from_numpy(pictures[0]).permute(0, 3, 1, 2).float() / 255
    batch = tune._batch(pictures[0], 1, 0, Colour())
    kept = (batch == before).flatten(1).all(dim=1)
    assert 0 < kept.sum() < len(kept)
    assert torch.equal(batch[~kept], before[~kept].flip(3))


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
