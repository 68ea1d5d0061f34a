"""`tactic doctor` names planted faults, and what it says mends them; see `rig.plant`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rig.plant import GROUPS, Fault, can_run, try_out

COMMAND = [sys.executable, "-m", "tactic", "doctor"]


def test_there_are_twenty_faults_and_more() -> None:
    names = [fault.name for group in GROUPS for fault in group]
    assert len(set(names)) == len(names) >= 20


@pytest.mark.parametrize("faults", GROUPS, ids=lambda group: group[0].name)
def test_planted_faults_are_named_and_mended(faults: tuple[Fault, ...], tiny_bundle: Path) -> None:
    if why := can_run():
        pytest.skip(why)
    found = try_out(faults, tiny_bundle)
    assert sorted(found.named) == list(found.planted)
    assert sorted(found.mended) == list(found.planted), found.remedies


def test_no_configuration_is_a_fault_of_its_own(tmp_path: Path) -> None:
    words = ["--config", str(tmp_path / "device.toml"), "--root", str(tmp_path)]
    done = subprocess.run([*COMMAND, *words, "--json"], capture_output=True, check=False)
    assert done.returncode == 11
    assert done.stderr.startswith(b"tactic: ")
    said = json.loads(done.stdout)
    ids = [each["id"] for each in said["checks"]]
    assert len(set(ids)) == len(ids) >= 20
    states = {each["id"]: each["state"] for each in said["checks"]}
    assert states["config.valid"] == "fault"
    assert states["bundle.whole"] == states["outbox.space"] == "skipped"
    assert all("remedy" in each for each in said["checks"] if each["state"] in {"fault", "warning"})
    assert sum(said["counts"].values()) == len(ids)
    text = subprocess.run([*COMMAND, *words], capture_output=True, check=False).stdout.decode()
    assert "$ " in text
    assert os.linesep.join(text.splitlines()[-1:]).endswith("skipped")
