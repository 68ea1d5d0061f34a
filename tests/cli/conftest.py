"""The command line as its users have it: a process, its exit code, what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
Tactic = Callable[..., Done]
Fails = Callable[..., None]

PATIENCE_S = 180


@pytest.fixture
def tactic(tmp_path: Path) -> Tactic:
    """Runs ``tactic`` with arguments in a folder of its own until it ends."""

    def run(*arguments: object, **environment: str) -> Done:
        inherited = {k: v for k, v in os.environ.items() if k != "TACTIC_DATA"}
        return subprocess.run(
            [sys.executable, "-m", "tactic", *map(str, arguments)],
            cwd=tmp_path,
            env=inherited | {"COLUMNS": "100", "NO_COLOR": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    return run


@pytest.fixture
def fails(tactic: Tactic) -> Fails:
    """Runs ``tactic`` and expects one line on standard error with every word, and the code."""

    def run(code: int, words: tuple[str, ...], *arguments: object) -> None:
        done = tactic(*arguments)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("tactic: ")
        missing = [word for word in words if word not in done.stderr]
        assert not missing, done.stderr

    return run
