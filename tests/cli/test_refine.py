"""Calibrating refinement: what is measured, what is chosen, and that it is judged honestly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from rig.tiny import nested
from tactic.evaluate.errors import EvaluationError
from tactic.evaluate.pictures import Album
from tactic.refine.policy import Plan, choose, halves, judge
from tactic.refine.run import Wanted, key_of, run_calibrate
from tactic.refine.traces import First, Measuring, Traces, firsts, read, write
from tactic_codec.bundle import Bundle
from tactic_codec.errors import TacticError
from tactic_gateway.task import Classifier, open_task

FIRSTS = (First(0, 1, 2), First(1, 1, 3))


def traces(photos: int = 2000, telling: bool = True, key: str = "k") -> Traces:
    """Four levels; finer ones are right on more photos, and the score may tell on which."""
    rng = np.random.default_rng(1)
    hard = rng.random(photos)
    right = np.array([hard < share for share in (0.8, 0.7, 0.4, 0.3)])
    sure = np.where(right, 0.8, 0.2) if telling else np.full(right.shape, 0.5)
    score = (sure + rng.normal(0, 0.05, right.shape)).astype(np.float32)
    level_bytes = np.array([[1000], [700], [400], [300]]) + rng.integers(0, 10, (4, photos))
    first_bytes = level_bytes[[2, 3]] + 4
    return Traces(FIRSTS, level_bytes, first_bytes, right, score, hard < 0.9, key)


def test_every_layer_but_the_last_makes_a_first_packet(tiny_bundle: Path) -> None:
    bundle = nested(Bundle.open(tiny_bundle), 5)
    assert firsts(bundle.codec) == (
        First(0, 1, 4),
        First(0, 2, 2),
        First(1, 1, 3),
        First(2, 1, 4),
    )


class Greys:
    """An album of grey pictures with classes."""

    def chunks(self, size: int) -> Iterator[tuple[list[Any], list[Any]]]:
        greys = [10, 120, 250]
        yield [np.full((32, 32, 3), g, np.uint8) for g in greys], [np.array(n) for n in (0, 1, 2)]


def test_first_packets_cost_about_what_the_level_costs_that_they_show(tiny_bundle: Path) -> None:
    bundle = nested(Bundle.open(tiny_bundle), 3)
    head = open_task(bundle, bundle.manifest.heads[0], threads=1, top=1)
    assert isinstance(head, Classifier)
    behind: list[int] = []
    found = Measuring(bundle, head).run(cast(Album, Greys()), "key", behind.append)
    assert behind == [3]
    assert found.clean.tolist() == [True, True, True]
    assert found.right[0].tolist() == [True, True, True]
    assert found.level_bytes.shape == found.score.shape == (3, 3)
    for number, first in enumerate(found.firsts):
        spare = found.first_bytes[number] - found.level_bytes[first.shows]
        assert (abs(spare) <= 4).all()
        assert (found.first_bytes[number] < found.level_bytes[first.level]).all()


def test_a_bundle_of_one_layer_is_refused(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    head = open_task(bundle, bundle.manifest.heads[0], threads=1, top=1)
    with pytest.raises(EvaluationError, match="one layer"):
        Measuring(bundle, cast(Classifier, head))


def test_a_part_costs_its_header_and_only_the_unsure_are_asked_for() -> None:
    some = traces(200)
    plan = Plan(1, 0.5)
    asked = plan.asks(some)
    np.testing.assert_array_equal(asked, some.score[3] < 0.5)
    more = np.where(asked, some.level_bytes[1] - some.first_bytes[1] + 20, 0)
    np.testing.assert_array_equal(plan.cost(some), some.first_bytes[1] + more)
    np.testing.assert_array_equal(plan.right(some), np.where(asked, some.right[1], some.right[3]))


def test_a_score_that_tells_gains_and_one_that_does_not_gains_nothing() -> None:
    for telling in (True, False):
        some = traces(telling=telling)
        chosen_on, judged_on = halves(2000)
        plan = choose(some, chosen_on, 600)
        assert plan.cost(some.of(chosen_on)).mean() <= 600
        found = judge(some, plan, chosen_on, judged_on)
        estimate, low, high = found.over_mixture
        assert low <= estimate <= high
        assert found.level + found.over_level[0] == pytest.approx(found.accuracy)
        if telling:
            assert low > 0.015
            assert found.fewer_than_mixture[1] > 0.05
        else:
            assert low < 0.01


def test_a_budget_below_every_first_packet_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no first packet fits 100 bytes"):
        choose(traces(100), np.arange(100), 100)


def test_halves_share_no_photo() -> None:
    chosen_on, judged_on = halves(7)
    assert not set(chosen_on) & set(judged_on)
    assert len(chosen_on) + len(judged_on) == 7


def test_traces_are_kept_and_those_of_something_else_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "traces.npz"
    write(path, traces(10))
    again = read(path, "k")
    assert again.firsts == FIRSTS
    np.testing.assert_array_equal(again.score, traces(10).score)
    with pytest.raises(EvaluationError, match="another bundle"):
        read(path, "other")
    path.write_bytes(b"no traces")
    with pytest.raises(EvaluationError, match="no traces"):
        read(path, "k")


def test_the_command_says_what_to_set(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Wanted(tiny_bundle, "photos", "", None)
    kept = tmp_path / "traces.npz"
    write(kept, traces(400, key=key_of(wanted)))
    run_calibrate(wanted, [600, 800], kept, True, tmp_path / "out/refine.json")
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "out/refine.json").read_text())
    assert [row["budget_bytes"] for row in found["budgets"]] == [600, 800]
    row = found["budgets"][0]
    assert row["set"]["device [encoder]"] == {"level": 1}
    assert row["set"]["device [refine]"] == {"first_layers": 1}
    assert 0 < row["set"]["gateway [refine]"]["threshold"] < 1
    run_calibrate(wanted, [600], kept, False, None)
    text = capsys.readouterr().out
    assert "gateway [refine]: threshold = " in text and "best mixture of levels" in text


def test_pictures_without_classes_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(TacticError, match="nothing"):
        run_calibrate(
            Wanted(tiny_bundle, str(tmp_path / "nothing"), "", None), [600], None, True, None
        )
