"""Which class was taken for which: accuracy and mean intersection over union of many answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def confusion(truth: NDArray[np.integer], answers: NDArray[np.integer], classes: int) -> Counts:
    """Count answers by true class and class given.

    Parameters
    ----------
    truth, answers : integer arrays of one shape
        Classes of images or of pixels; what has −1 as truth counts nowhere.
    classes : int

    Returns
    -------
    int64 array (classes, classes)
        Rows are true classes. Counts of several sets of images may be added.
    """
    known = truth >= 0
    pairs = truth[known].astype(np.int64) * classes + answers[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def accuracy(counts: Counts) -> float | None:
    """Share of right answers; None without any answer."""
    return float(np.trace(counts) / counts.sum()) if counts.any() else None


def mean_iou(counts: Counts) -> float | None:
    """Mean over classes of intersection over union; None without any answer.

    Everingham et al., "The Pascal Visual Object Classes Challenge" (2010), section 4. Classes
    that are neither there nor answered are left out.
    """
    hits = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    there = union > 0
    return float(np.mean(hits[there] / union[there])) if there.any() else None
