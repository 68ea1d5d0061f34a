"""A node that hangs is started again, with a manager that does as systemd does."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.manager import HANGS, Manager, Patience, recover, write_node

QUICK = Patience(watchdog_s=4.0, abort_s=2.0, restart_s=0.1)


@pytest.mark.parametrize("how", HANGS)
def test_a_hang_ends_in_a_restart(how: str, tiny_bundle: Path) -> None:
    found = recover(tiny_bundle, HANGS[how], QUICK)
    # A loop may be late by half the watchdog's time before the heartbeats stop.
    most_s = 1.5 * QUICK.watchdog_s + QUICK.abort_s + QUICK.restart_s
    assert QUICK.watchdog_s - 1 < found.restarted_s < most_s + 2
    unit = Patience.of_unit()
    assert 1.5 * unit.watchdog_s + unit.abort_s + unit.restart_s <= 25


def test_a_node_that_works_is_left_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    with Manager(write_node(tmp_path, tiny_bundle), tmp_path, QUICK) as manager:
        # Its broker cannot be reached: that is no reason to start it again.
        manager.wait_for(lambda: manager.beats >= 8, "heartbeats")
        assert manager.killed == 0
        assert len(manager.ready_s) == 1
