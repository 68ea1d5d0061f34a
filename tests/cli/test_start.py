"""What the command costs to start, and what it does not drag in."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAVY = {"torch", "cv2", "onnxruntime", "ai_edge_litert", "paho", "numpy"}
LONGEST_S = 0.3
TRIES = 5


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def test_import_is_quick() -> None:
    """The best of some tries: other work on the machine must not fail this."""
    best_s = float("inf")
    for _ in range(TRIES):
        done = python("-X", "importtime", "-c", "import tactic")
        cumulative_us = re.findall(r"\|\s+(\d+) \| tactic$", done.stderr, re.MULTILINE)
        best_s = min(best_s, int(cumulative_us[0]) / 1e6)
        if best_s <= LONGEST_S:
            return
    pytest.fail(f"import tactic takes {best_s} s")


def test_the_front_door_imports_no_room() -> None:
    done = python("-c", "import sys, tactic.app; print(*sys.modules)")
    names = {name.partition(".")[0] for name in done.stdout.split()}
    assert "typer" in names
    assert not names & (HEAVY | {"tactic_device", "tactic_gateway", "tactic_train"})


def closure(extra: str) -> set[str]:
    """Names of everything that ``tactic-edge[extra]`` installs here, by the packages' own word."""
    found: set[str] = set()
    waiting = [Requirement(f"tactic-edge[{extra}]")]
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        key = f"{name}[{','.join(sorted(asked.extras))}]"
        if key in found:
            continue
        found |= {name, key}
        extras = asked.extras or {""}
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return {name for name in found if "[" not in name}


@pytest.mark.parametrize("extra", ["device", "gateway", "demo"])
def test_no_torch_outside_training(extra: str) -> None:
    names = closure(extra)
    assert {"numpy", "paho-mqtt", "pydantic"} <= names
    assert not {
        name for name in names if name.startswith(("torch", "nvidia", "tensorflow", "onnxscript"))
    }


def test_the_closure_finds_torch_where_it_is() -> None:
    assert "torch" in closure("train")
