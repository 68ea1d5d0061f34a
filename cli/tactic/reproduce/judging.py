"""What every method ends with: the head tuned to what it decodes, then the test photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tactic.reproduce.cell import Cell, Json, Place
from tactic.reproduce.gallery import Gallery, Photos
from tactic_train import losses
from tactic_train.confusion import confusion
from tactic_train.heads import Head
from tactic_train.tune import Loss, Pictures, Tuning, answers, save_weights, tune_head

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
    gamma: float | None,
) -> Json:
    """Tune a head on what training photos became; its figures on the test photos.

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
        Their labels or masks.
    gamma : float or None
        Share of the weighted cross-entropy in the loss of masks, eq. 10.
    """
    folder = place.folder(cell)
    head.to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    tune_head(
        head,
        seen[0],
        gallery.train_labels[: len(seen[0])],
        schedule,
        seed=cell.seed,
        checkpoint=folder / TUNING,
        say=lambda line: place.say(f"{cell.name}: {line}"),
        loss=_loss(gallery, gamma, place.device),
    )
    save_weights(head, folder / HEAD)
    return judge(head, seen[1], gallery, schedule.head_px)


def _loss(gallery: Gallery, gamma: float | None, device: str) -> Loss:
    if gallery.class_weights is None or gamma is None:
        return losses.task_from_labels
    weights = torch.tensor(gallery.class_weights, device=device)
    return lambda scores, truth: losses.task_from_masks(scores, truth, weights, gamma)


def judge(head: Head, pictures: Pictures, gallery: Gallery, head_px: int) -> Json:
    """Compare a head's answers on the test photos with the truth; fields of ``Figures``."""
    found, labels = answers(head, pictures, head_px), gallery.test_labels
    if labels.ndim == 1:
        return {"right": "".join("1" if each else "0" for each in found == labels)}
    counts = [
        confusion(truth, answer, len(gallery.classes))
        for truth, answer in zip(labels, found, strict=True)
    ]
    return {
        "hits": [np.diag(each).tolist() for each in counts],
        "truth": [each.sum(axis=1).tolist() for each in counts],
        "answered": [each.sum(axis=0).tolist() for each in counts],
    }


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
