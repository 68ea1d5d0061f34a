"""Change gating by real daemons, and on clips of real cameras with the shipped bundle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tactic.demo.broker import Broker
from tactic.gate.choose import THRESHOLDS, find
from tactic.gate.run import Wanted, measure

if TYPE_CHECKING:
    from conftest import Site

BUNDLE = Path(__file__).parents[2] / "bundles/photo1000"
FRAMES = 60


@pytest.mark.parametrize("told", [True, False])
def test_a_node_that_is_told_of_near_answers_sends_small_changes(
    site: Site, broker: Broker, told: bool
) -> None:
    for path in (site.folder / "pictures").iterdir():
        path.unlink()
    # The tiny head turns from dark to middle at 85.
    for grey in (85, 86):
        picture = np.full((40, 60, 3), grey, np.uint8)
        cv2.imwrite(str(site.folder / f"pictures/{grey}.png"), picture)
    source = {"loop": True, "fps": 10.0, "limit": FRAMES, "drain_s": 30.0}
    site.configure(broker.port, source=source, gating={"threshold": 6.0})
    if told:
        with (site.folder / "gateway.toml").open("a") as file:
            file.write("[gating]\nlimit = 0\n")
    gateway = site.start("gateway")
    site.wait_for(lambda: site.events("gateway", "gateway_ready"), "the gateway")
    assert site.start("device").wait(60) == 0
    ledger = site.events("device", "stopped")[-1]["ledger"]
    assert ledger["captured"] == FRAMES == ledger["stored"] + ledger["dropped"].get("gated", 0)
    assert site.stop(gateway) == 0
    counters = site.events("gateway", "gateway_stopped")[0]
    if told:
        assert counters["gating.told"] >= 2
        assert ledger["stored"] > FRAMES / 3
    else:
        assert "gating.told" not in counters
        assert ledger["stored"] == 1


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
