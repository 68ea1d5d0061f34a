"""What every method ends with: the head tuned to what it decodes, then the test photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tactic.reproduce.cell import Cell, Place
from tactic.reproduce.gallery import Gallery, Labels, Photos, Pictures
from tactic_train.heads import Head
from tactic_train.tune import Tuning, answers, save_weights, tune_head

HEAD = "head.pt"
TUNING = "tuning.pt"
_FULL_SCALE = 255.0


def tune_and_judge(
    place: Place,
    cell: Cell,
    head: Head,
    schedule: Tuning,
    seen: tuple[Pictures, Pictures],
    gallery: Gallery,
) -> str:
    """Tune a head on what training photos became; a digit for each test photo.

    Parameters
    ----------
    place : Place
    cell : Cell
        Its folder gets the tuned head, and the checkpoint of the tuning until that is there.
    head : Head
        Changed in place.
    schedule : Tuning
    seen : pair of uint8 arrays (N, side, side, 3)
        Training and test photos as the head sees them.
    gallery : Gallery
        Their labels.
    """
    folder = place.folder(cell)
    head.to(place.device)
    labels = gallery.train_labels[: len(seen[0])]
    tune_head(
        head,
        seen[0],
        labels,
        schedule,
        seed=cell.seed,
        checkpoint=folder / TUNING,
        say=lambda line: place.say(f"{cell.name}: {line}"),
    )
    save_weights(head, folder / HEAD)
    return judge(head, seen[1], gallery.test_labels, schedule.head_px)


def judge(head: Head, pictures: Pictures, labels: Labels, head_px: int) -> str:
    """Say for each picture whether the head's first class is the right one: 1 or 0."""
    right = answers(head, pictures, head_px) == labels
    return "".join("1" if each else "0" for each in right)


def psnr_db(original: Pictures, decoded: Pictures) -> float | None:
    """Of the mean squared error over all photos; None where nothing changed."""
    errors = [
        np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(original, decoded, strict=True)
    ]
    error = float(np.mean(errors))
    return 10 * float(np.log10(_FULL_SCALE**2 / error)) if error else None


def bits_per_pixel(sizes: Sequence[int], photos: Photos) -> float:
    """Mean bits of a file or packet for each pixel of the judged photos."""
    return 8 * sum(sizes) / (len(sizes) * photos.side_px**2)


def tuned_images(schedule: Tuning, photos: Photos) -> int:
    """Photos of the training split that one tuning looks at."""
    return min(photos.tuned_on, schedule.steps * schedule.batch)


def forget_checkpoint(folder: Path) -> None:
    """Delete what only an unfinished tuning needs."""
    (folder / TUNING).unlink(missing_ok=True)
