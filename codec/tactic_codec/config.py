"""Configuration files: TOML in, typed model out, every complaint with its file and line.

Shared by the rooms that run as daemons, so that a mistake in either file reads the same.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
)

from tactic_codec.errors import ConfigError

_TABLE = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*([A-Za-z0-9_."'\- ]+?)\s*=""")
_PLACE = re.compile(r"udp://(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/\s]+)):(\d{1,5})")
_SYNTAX_PLACE = re.compile(r" \(at line (\d+), column \d+\)$")

Location = tuple[str | int, ...]


class Section(BaseModel):
    """Base of every table of a configuration file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / path.expanduser()


LocalPath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path that, when relative, starts at the folder of the configuration file."""


class Place(NamedTuple):
    """Where datagrams go to, or come in."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as a configuration does."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"udp://{host}:{self.port}"


def _read_place(text: Any) -> Any:
    found = _PLACE.fullmatch(text) if isinstance(text, str) else None
    if not found or int(found[3]) > 65_535:
        raise ValueError("write udp://HOST:PORT")
    return Place(found[1] or found[2], int(found[3]))


UdpPlace = Annotated[Place, BeforeValidator(_read_place)]
"""A `Place`, written ``udp://HOST:PORT``; an IPv6 address in brackets."""

M = TypeVar("M", bound=BaseModel)


def load(path: Path, model: type[M]) -> M:
    """Read a TOML file into a model.

    Parameters
    ----------
    path : Path
        The file, UTF-8.
    model : type of BaseModel
        Usually a `Section`; its defaults fill what the file leaves out.

    Raises
    ------
    ConfigError
        One line, ``file:line: key: problem; remedy``, for the first thing that is wrong.
    """
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(_syntax(path, str(fault), text)) from fault
    try:
        return model.model_validate(data, context={"folder": path.parent})
    except ValidationError as fault:
        raise ConfigError(_invalid(path, text, model, fault)) from fault


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from fault
    except OSError as fault:
        reason = fault.strerror or "cannot be read"
        raise ConfigError(f"{path}: {reason}; give the path of a readable TOML file") from fault


def _syntax(path: Path, fault: str, text: str) -> str:
    place = _SYNTAX_PLACE.search(fault)
    line = int(place[1]) if place else max(1, text.count("\n"))
    problem = fault[: place.start()] if place else fault.removesuffix(" (at end of document)")
    return f"{path}:{line}: {problem}; correct the TOML syntax"


def _invalid(path: Path, text: str, model: type[BaseModel], fault: ValidationError) -> str:
    errors = fault.errors(include_url=False, include_context=False)
    # A misspelt key is reported before the one that is missing because of it.
    first = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    where = first["loc"]
    key = ".".join(str(part) for part in where) or "file"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    problem = _explain(model, where, first["type"], first["msg"], first["input"])
    return f"{path}:{_line_of(text, where)}: {key}: {problem}{more}"


def _explain(model: type[BaseModel], where: Location, kind: str, message: str, given: Any) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(where[-1]), _fields(model, where[:-1]), n=1)
        return f"unknown key; did you mean {near[0]}?" if near else "unknown key; remove it"
    if kind == "missing":
        return "required but missing; add it"
    message = message.removeprefix("Value error, ")
    secret = "password" in str(where[-1]) if where else False
    if isinstance(given, str | int | float | bool) and not secret:
        return f"{message[:1].lower()}{message[1:]}; it is {given!r}"
    return f"{message[:1].lower()}{message[1:]}; correct the value"


def _fields(model: type[BaseModel], where: Location) -> list[str]:
    """Known keys of the table at ``where``; empty where the table is no plain section."""
    for part in where:
        field = model.model_fields.get(str(part))
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return [field.alias or name for name, field in model.model_fields.items()]


def _line_of(text: str, where: Location) -> int:
    """Line of the key at ``where``, or of the nearest table around it that is written out."""
    lines = _lines(text)
    for length in range(len(where), 0, -1):
        if where[:length] in lines:
            return lines[where[:length]]
    return 1


def _lines(text: str) -> dict[Location, int]:
    # tomllib keeps no positions. A key inside a multi-line string may be taken for a real one;
    # the first line wins, so that costs at most a wrong line number in a message.
    found: dict[Location, int] = {}
    elements: dict[Location, int] = {}
    table: Location = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if head := _TABLE.match(line):
            table = _split(head[2])
            if head[1] == "[[":
                index = elements[table] = elements.get(table, -1) + 1
                table = (*table, index)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault(table + _split(key[1]), number)
    return found


def _split(dotted: str) -> Location:
    return tuple(part.strip(" \"'") for part in dotted.split("."))
