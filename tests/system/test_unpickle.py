"""Node and gateway never unpickle: what they read can select nothing that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Site
    from tactic.demo.broker import Broker

LISTENER = """
import os, sys
def note(event, arguments):
    if event == "pickle.find_class":
        with open(os.environ["TACTIC_TEST_PICKLED"], "a") as file:
            file.write(repr((sys.argv, arguments)) + chr(10))
sys.addaudithook(note)
"""


@pytest.fixture
def pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that every Python process from now on writes to when it unpickles."""
    (tmp_path / "listening").mkdir()
    (tmp_path / "listening/sitecustomize.py").write_text(LISTENER)
    former = os.environ.get("PYTHONPATH", "")
    paths = [str(tmp_path / "listening"), *filter(None, [former])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    found = tmp_path / "pickled.txt"
    monkeypatch.setenv("TACTIC_TEST_PICKLED", str(found))
    return found


def test_nothing_is_unpickled(site: Site, broker: Broker, pickled: Path) -> None:
    site.configure(broker.port)
    gateway, device = site.start("gateway"), site.start("device")
    assert device.wait(60) == 0
    site.wait_for(lambda: site.counters().get("results") == 12, "results")
    assert site.stop(gateway) == 0
    assert not pickled.exists(), pickled.read_text()
    # The listener hears what there is to hear.
    program = "import pickle, collections; pickle.loads(pickle.dumps(collections.Counter()))"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert pickled.exists()
