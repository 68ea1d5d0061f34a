"""Commands that mend: each can be pasted into a shell."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

_TABLE = re.compile(r"\s*\[([^\[\]]+)\]")


def quote(*parts: object) -> str:
    """Words of a command line."""
    return " ".join(shlex.quote(str(part)) for part in parts)


def sudo(path: Path) -> str:
    """``sudo`` where this user may not change a file, or what it would lie in."""
    nearest = next((p for p in (path, *path.parents) if p.exists()), path)
    return "" if os.access(nearest, os.W_OK) else "sudo "


def as_root() -> str:
    """``sudo`` for everybody but root."""
    return "" if os.geteuid() == 0 else "sudo "


def tactic(*arguments: object) -> str:
    """The ``tactic`` of this installation, with arguments."""
    return quote(Path(sys.executable).with_name("tactic"), *arguments)


def pip(*arguments: object) -> str:
    """The pip of this installation, with arguments."""
    return f"{sudo(Path(sys.prefix))}{quote(sys.executable, '-m', 'pip', *arguments)}"


def set_key(path: Path, key: str, value: str) -> str:
    """Give a key of the configuration a value.

    The line is found by what it says, not by its number: other commands may have moved it.

    Parameters
    ----------
    path : Path
    key : str
        ``table.name``.
    value : str
        As TOML.
    """
    table, _, name = key.rpartition(".")
    text = f"{name} = {value}"
    key_is_there, table_is_there = _look(path, table, name)
    if key_is_there:
        # In a replacement, & and the delimiter would be special.
        plain = re.sub(r"([|&\\])", r"\\\1", text)
        return _sed(path, f"{_inside(table)} s|^ *{name} *=.*|{plain}|")
    if table_is_there:
        return _sed(path, f"/^ *\\[{table}\\]/a {text}")
    lines = quote("", f"[{table}]", text)
    return f"printf '%s\\n' {lines} | {sudo(path)}{quote('tee', '-a', path)} > /dev/null"


def comment(path: Path, line: int) -> str:
    """Take a line out of the configuration; what it said is still there to read."""
    return _sed(path, f"{line}s/^/# /")


def replace(path: Path, line: int, old: str, new: str) -> str:
    """Correct a word in a line."""
    return _sed(path, rf"{line}s/\b{re.escape(old)}\b/{new}/")


def comment_key(path: Path, key: str) -> str:
    """Take a key out of the configuration."""
    table, _, name = key.rpartition(".")
    return _sed(path, f"{_inside(table)} s/^ *{name} *=/# &/")


def _sed(path: Path, script: str) -> str:
    return f"{sudo(path)}{quote('sed', '-i', script, path)}"


def _inside(table: str) -> str:
    return f"/^ *\\[{table}\\]/,/^ *\\[/"


def _look(path: Path, table: str, name: str) -> tuple[bool, bool]:
    """Whether a key is there, and whether its table is."""
    tables = set()
    current = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := _TABLE.match(line):
            current = found[1].strip()
            tables.add(current)
        elif current == table and re.match(rf"\s*{re.escape(name)}\s*=", line):
            return True, True
    return False, table in tables
