"""``docs/exit-codes.md`` lists every code and every error class, and nothing else."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from tactic import __main__ as front_door
from tactic_codec.errors import TacticError

ROOT = Path(__file__).parents[2]
ROOMS = (
    "tactic.demo",
    "tactic.evaluate",
    "tactic.reproduce",
    "tactic_delivery",
    "tactic_train",
    "tactic_export",
    "tactic_device",
    "tactic_link",
)
MODULES = ("tactic.rooms", "tactic_gateway.errors", *(f"{room}.errors" for room in ROOMS))
SUCCESS, USAGE = 0, 2


def documented() -> dict[int, set[str]]:
    """Names of error classes by code."""
    text = (ROOT / "docs/exit-codes.md").read_text()
    rows = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| \d", line)]
    return {int(row[0]): set(re.findall(r"`(\w+)`", row[-1])) for row in rows}


def family(kind: type[TacticError]) -> Iterator[type[TacticError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


def test_the_table_is_the_code() -> None:
    for module in MODULES:
        importlib.import_module(module)
    table = documented()
    plain = {SUCCESS, USAGE, front_door.UNEXPECTED, front_door.INTERRUPTED}
    found: dict[int, set[str]] = {code: set() for code in plain}
    for kind in family(TacticError):
        # Tests may define errors of their own.
        if kind.__module__.partition(".")[0].startswith("tactic"):
            found.setdefault(kind.exit_code, set()).add(kind.__name__)
    assert table == found


def test_every_room_that_names_codes_names_these() -> None:
    codes = set(documented())
    for path in ROOT.glob("*/README.md"):
        for text in re.findall(r"[Ee]xit codes?:? (?:is )?([^.\n]*)", path.read_text()):
            named = {int(number) for number in re.findall(r"\b\d+\b", text)}
            assert named <= codes, f"{path}: {named - codes}"
