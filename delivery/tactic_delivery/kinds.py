"""The kinds of commands, and what each demands; the gateway checks before it sends, too."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from tactic_delivery.errors import CommandError


class Arguments(BaseModel):
    """Base of every kind's arguments: what is not declared is refused.

    A ``quiet`` kind comes by the dozen and does no harm twice: its answers are kept for the run
    only, and one that says nothing is not sent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    quiet: ClassVar[bool] = False


class Ping(Arguments):
    """``ping``: answer. Result: ``uptime_s``."""


class Report(Arguments):
    """``report``: what the health message says, as of now."""


class SetLevel(Arguments):
    """``set_level``: code at another rate level from the next frame on, until the node restarts.

    Result: ``level``.
    """

    level: int = Field(ge=0, le=7)


class SetBudget(Arguments):
    """``set_budget``: most bytes that a frame may take, until the node restarts; null: no limit.

    Result: ``budget_bytes``.
    """

    budget_bytes: int | None = Field(ge=24, le=1 << 20)


class Install(Arguments):
    """``install``: expect a bundle. Result: ``missing``, pairs of file and bytes that are there."""

    manifest: str = Field(max_length=49152)
    signature: str = Field(max_length=8192)


class Activate(Arguments):
    """``activate``: test a bundle that was sent, and try it. Result: ``trial_s``."""

    manifest: str = Field(pattern=r"^[0-9a-f]{64}$")


class BundleStatus(Arguments):
    """``bundle``: what became of the latest one. Result: ``outcome``."""


class Refine(Arguments):
    """``refine``: send the words that were left off these frames.

    Result: ``gone``, those of which nothing is left; nothing where all are sent.
    """

    quiet = True

    frames: list[Annotated[int, Field(ge=0, lt=1 << 32)]] = Field(min_length=1, max_length=64)


class Margin(Arguments):
    """``margin``: how far the latest answer is from another one; the change gate goes by it."""

    quiet = True

    margin: float = Field(ge=0.0, le=100.0)


KINDS: dict[str, type[Arguments]] = {
    "ping": Ping,
    "report": Report,
    "set_level": SetLevel,
    "set_budget": SetBudget,
    "install": Install,
    "activate": Activate,
    "bundle": BundleStatus,
    "refine": Refine,
    "margin": Margin,
}


def is_quiet(kind: str) -> bool:
    """Whether a kind is quiet; see `Arguments`."""
    return kind in KINDS and KINDS[kind].quiet


def check(kind: str, arguments: dict[str, JsonValue]) -> Arguments:
    """Read the arguments of a command.

    Raises
    ------
    CommandError
        With ``reason`` ``kind``: there is no such one; ``arguments``: they do not fit.
    """
    if kind not in KINDS:
        raise CommandError("kind", f"{kind} is none of {', '.join(KINDS)}")
    try:
        return KINDS[kind].model_validate(arguments)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or kind
        raise CommandError("arguments", f"{where}: {first['msg']}") from fault
