"""Calibrating change gating: what is replayed and chosen, and that it is judged honestly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tactic.evaluate.errors import EvaluationError
from tactic.gate.choose import THRESHOLDS, Sweep, choose, cross, find, least
from tactic.gate.clip import Clip, read, write
from tactic.gate.plot import draw
from tactic.gate.replay import Figures, bound, judge, replay, total
from tactic.gate.run import Wanted, measure, run_calibrate


def scene(seed: int = 1, frames: int = 200, name: str = "scene") -> Clip:
    """Something always moves, and now and then another; its answer trembles at the limit."""
    rng = np.random.default_rng(seed)
    block = np.arange(frames) // 20
    latents = rng.normal(0, 1.0, (frames, 4, 3, 3)).round().clip(-9, 9).astype(np.int8)
    latents[block % 2 == 1] += 20
    trembles = block % 5 == 3
    scores = np.where(trembles, np.where(np.arange(frames) % 3, 0.28, 0.32), 0.1)
    both = np.stack([scores, np.full(frames, 0.05)], axis=1)
    return Clip(name, 10.0, latents, np.full(frames, 1000), np.ones(frames, np.int64), both)


def still(frames: int = 100) -> Clip:
    """Nothing ever changes."""
    return Clip(
        "still",
        1.0,
        np.zeros((frames, 4, 3, 3), np.int8),
        np.full(frames, 500),
        np.zeros(frames, np.int64),
        np.full((frames, 2), 0.4),
    )


def test_of_a_still_scene_only_heartbeats_are_sent() -> None:
    sent, told = replay(still(), 1.0, 0.3, 0.0)
    assert sent == [0, 60]
    assert told == 2
    found = judge(still(), sent, told, 0.3)
    assert found == Figures(100, 2, 2, 50_000, 1000, 100, 0, 0)
    assert (found.fewer, found.agreement, found.caught) == (50.0, 1.0, 1.0)


def test_who_is_told_sends_where_answers_tremble_and_little_elsewhere() -> None:
    told, alone = (judge(scene(), *replay(scene(), 4.0, 0.3, late), 0.3) for late in (0.0, None))
    assert alone.told == 0 and told.told > 0
    assert told.caught > 0.9 and told.fewer > 2.5
    assert alone.fewer < 1.2


def test_the_later_it_is_told_the_more_is_missed() -> None:
    late_s = (0.0, 0.5, 1.5)
    caught = [judge(scene(), *replay(scene(), 4.0, 0.3, late), 0.3).caught for late in late_s]
    assert caught[0] > caught[1] > caught[2]


def test_one_that_knows_the_answers_is_right_and_nobody_is_thriftier() -> None:
    best = bound(scene(), 0.3)
    assert best.agreement == best.caught == 1.0
    assert best.fewer > judge(scene(), *replay(scene(), 1.0, 0.3, 0.0), 0.3).fewer


def test_frames_are_counted_by_hand() -> None:
    clip = scene(frames=8)
    classes: NDArray[np.int64] = np.array([1, 1, 2, 2, 1, 1, 1, 3])
    scores = np.array([[s, 0.1] for s in (0.9, 0.9, 0.9, 0.2, 0.2, 0.9, 0.9, 0.9)])
    clip = Clip("hand", 10.0, clip.latents, np.arange(8), classes, scores)
    found = judge(clip, [0, 3, 5], 0, 0.3)
    # 1 1 2 – – 1 1 3 are the answers, 1 1 1 – – 1 1 1 is what stands.
    assert (found.agree, found.changes, found.changes_sent) == (6, 4, 2)
    assert (found.bytes_all, found.bytes_sent) == (28, 8)
    assert total([found, found]).frames == 16


def swept(*caught: int, changes: int = 100) -> Sweep:
    """Every threshold saves more than the one before; of the changes, fewer and fewer are sent."""
    kept = [*caught, *[0] * (len(THRESHOLDS) - len(caught))]
    told = tuple(
        Figures(1000, 10, 5, 10_000, 5000 - n, 990, changes, found) for n, found in enumerate(kept)
    )
    return Sweep("made", told, told, told[0])


def test_the_thriftiest_that_keeps_what_is_wanted_is_chosen() -> None:
    assert choose([swept(100, 98, 94, 90, 80)]) == 2
    assert choose([swept(98, 94), swept(100, 94)]) == 1
    # Nine of ten that were seen say less than nine of ten.
    assert choose([swept(20, 20, 18, changes=20)]) == 1


@pytest.mark.parametrize(
    ("found", "remedy"),
    [(swept(80), "raise --limit"), (swept(10, changes=10), "longer video")],
)
def test_where_none_keeps_it_the_remedy_is_said(found: Sweep, remedy: str) -> None:
    with pytest.raises(EvaluationError, match=remedy):
        choose([found])


def test_a_share_of_few_is_less_sure() -> None:
    assert least(100, 100) > least(20, 20) > least(19, 20) > least(1, 20) > 0.0
    assert least(940, 1000) == pytest.approx(0.94, abs=0.011)
    assert least(0, 0) == 0.0


def test_nothing_is_judged_on_what_it_was_chosen_on() -> None:
    sweeps = [swept(100, 99, 98), swept(100, 98, 60), swept(100, 60, 20)]
    verdicts = cross([replace(each, name=name) for each, name in zip(sweeps, "abc", strict=True)])
    assert [each.judged_on for each in verdicts] == ["a", "b", "c"]
    assert [each.chosen_on for each in verdicts] == ["b, c", "a, c", "a, b"]
    assert [each.threshold for each in verdicts] == [THRESHOLDS[n] for n in (0, 0, 1)]
    assert [each.figures.changes_sent for each in verdicts] == [100, 100, 60]


def test_one_clip_is_judged_half_by_half() -> None:
    found = find([scene(frames=400)], 0.3, 0.0)
    assert [each.judged_on for each in found.verdicts] == [
        "scene, first half",
        "scene, second half",
    ]
    assert found.together.frames == 400
    assert draw(found).axes


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (32, 32))
    for number in range(100):
        writer.write(np.full((32, 32, 3), 250 if number // 3 % 2 else 10, np.uint8))
    writer.release()
    return path


def test_a_video_is_measured_kept_and_calibrated_on(
    tiny_bundle: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Wanted(tiny_bundle, (video,), None, None, 0.0, 0.0)
    run_calibrate(wanted, tmp_path / "traces", tmp_path / "figure.png", as_json=True)
    first = json.loads(capsys.readouterr().out)
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert first["together"]["frames"] == first["together"]["agree"] == 100
    with pytest.raises(EvaluationError, match="check --clip"):
        measure(Wanted(tiny_bundle, (tmp_path / "none.mp4",), None, None, 0.0, 0.0), None)
    video.unlink()
    run_calibrate(wanted, tmp_path / "traces", None, as_json=False)
    said = capsys.readouterr().out
    assert f"device [gating]: threshold = {first['set']['device [gating]']['threshold']:g}" in said


def test_clips_are_read_as_they_were_written(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", scene())
    again = read(tmp_path / "a.npz", "scene")
    for name in ("fps", "latents", "sizes", "classes", "scores"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scene(), name))
    (tmp_path / "a.npz").write_bytes(b"no")
    with pytest.raises(EvaluationError, match="remove it"):
        read(tmp_path / "a.npz", "scene")
