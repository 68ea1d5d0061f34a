"""Change gating on clips of real cameras, with the shipped bundle."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tactic.gate.choose import THRESHOLDS
from tactic.gate.run import Wanted, find, measure

BUNDLE = Path(__file__).parents[2] / "bundles/photo1000"


def test_three_times_fewer_bytes_keep_the_answers_and_their_changes(
    data: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(data / "camera_clips.zip") as archive:
        archive.extractall(tmp_path)
    paths = tuple(sorted(tmp_path.rglob("*.mp4")))
    wanted = Wanted(BUNDLE, paths, None, None, limit=0.3, delay_s=0.3)
    found = find(measure(wanted, None), wanted.limit, wanted.delay_s)
    # Every clip by a threshold that was chosen without it.
    together = found.together
    assert together.frames == 1771
    assert together.changes >= 50
    assert together.fewer >= 3.0
    assert together.agreement >= 0.98
    assert together.caught >= 0.9
    # Without a word from the gateway as many changes cost far more.
    alone = [
        sum(each.alone[n].changes_sent for each in found.sweeps) for n in range(len(THRESHOLDS))
    ]
    enough = [n for n, changes in enumerate(alone) if changes >= 0.9 * together.changes]
    spent = min(sum(each.alone[n].bytes_sent for each in found.sweeps) for n in enough)
    assert spent > 1.5 * together.bytes_sent
