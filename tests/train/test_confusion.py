"""Accuracy and mean IoU by hand, and the weights that make up for rare classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tactic_train.class_weights import class_weights
from tactic_train.confusion import accuracy, confusion, mean_iou
from tactic_train.data import Item, Mask, open_source

TRUTH = np.array([[0, 0, 1], [2, -1, 1]])
ANSWERS = np.array([[0, 1, 1], [0, 2, 1]])


def test_counts_by_hand() -> None:
    counts = confusion(TRUTH, ANSWERS, 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert accuracy(counts) == 3 / 5
    # The fourth class is neither there nor answered: it is no zero.
    assert mean_iou(counts) == pytest.approx((1 / 3 + 2 / 3 + 0) / 3)


def test_counts_add_up_and_void_counts_nowhere() -> None:
    whole = confusion(TRUTH, ANSWERS, 3)
    rows = [confusion(truth, found, 3) for truth, found in zip(TRUTH, ANSWERS, strict=True)]
    assert np.array_equal(whole, rows[0] + rows[1])
    nothing = confusion(np.full(5, -1), np.zeros(5, int), 3)
    assert (accuracy(nothing), mean_iou(nothing)) == (None, None)


def mask(values: list[int]) -> Item:
    import cv2

    data = bytes(cv2.imencode(".png", np.array([values], np.uint8))[1])
    table = np.full(256, -1, np.int8)
    table[:4] = range(4)
    return Item("x", lambda: b"", -1, Mask("x", lambda: data, table))


def test_weights_are_median_frequency_over_frequency() -> None:
    # Class 0: 5 of 8 known pixels; class 1: 2 of 4, since only the first image has it; class 2:
    # 1 of 4; class 3 does not occur.
    items = (mask([0, 0, 1, 1, 9]), mask([0, 0, 0, 2, 9]), Item("y", lambda: b"", 3))
    expected = [0.5 / (5 / 8), 1.0, 0.5 / (1 / 4), 1.0]
    assert class_weights(items, 4).tolist() == pytest.approx(expected)


def test_an_unreadable_mask_is_left_out(scenes: Path) -> None:
    items = open_source(f"camvid:{scenes}").train
    assert items[0].mask
    broken = Item("z", lambda: b"", -1, Mask("z", lambda: b"text", items[0].mask.classes))
    whole, spoilt = class_weights(items, 11), class_weights((*items, broken), 11)
    assert whole.tolist() == spoilt.tolist()
    assert whole[8] > whole[0] and whole[8] > whole[3], "cars are small"
    assert class_weights((broken,), 3).tolist() == [1, 1, 1]
