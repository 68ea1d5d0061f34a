"""The documents say what the code does: limits, refusals, and the example of the README."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORMAT = (ROOT / "docs/wire-format.md").read_text()
DELIVERY = {"ack", "chunk", "command", "datagrams", "desk"}
LIMITS = re.findall(r"^\| [^|]+ \| (\d+)[^|]* \| `(\w+)\.(\w+)` \|$", FORMAT, re.MULTILINE)


@pytest.mark.parametrize(("value", "module", "name"), LIMITS)
def test_limits_of_the_format(value: str, module: str, name: str) -> None:
    room = "delivery" if module in DELIVERY else "codec"
    assert getattr(import_module(f"tactic_{room}.{module}"), name) == int(value)


def test_limits_were_found() -> None:
    assert len(LIMITS) == 22


def test_every_reason_is_documented() -> None:
    sources = [ROOT / "codec/tactic_codec" / f"{name}.py" for name in ("packet", "drop", "bundle")]
    raised = {
        reason
        for source in sources
        for reason in re.findall(r'PacketError\(\s*"(\w+)"', source.read_text())
    }
    listed = FORMAT.partition("## Refusals")[2].partition("## Compatibility")[0]
    assert raised
    assert raised <= set(re.findall(r"`(\w+)`", listed))


def test_links_within_the_format_lead_somewhere() -> None:
    places = {
        "#" + title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", FORMAT, re.M)
    }
    assert set(re.findall(r"\]\((#[^)]+)\)", FORMAT)) <= places


def test_example_of_the_readme_runs() -> None:
    text = (ROOT / "codec/README.md").read_text()
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(example) == 1
    code = f"import sys; sys.path[:] = {sys.path!r}\n" + example[0]
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
