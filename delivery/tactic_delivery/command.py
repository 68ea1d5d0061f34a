"""Commands to a node and its responses: what they say, in JSON.

Normative text: ``docs/wire-format.md``, "Commands".
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from tactic_delivery.errors import CommandError

MAX_COMMAND_BYTES = 65536
MAX_LIFETIME_NS = 3_600_000_000_000

Ident = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
UnixNs = Annotated[int, Field(strict=True, ge=0, lt=1 << 63)]


M = TypeVar("M", bound=BaseModel)


class _Message(BaseModel):
    # New fields may be added to messages; readers ignore what they do not know.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Command(_Message):
    """What a node shall do, once.

    Attributes
    ----------
    id : str
        Drawn for this command; the same in every repetition of it.
    boot : int
        uint32, the run of the node that it is for: no later one carries it out.
    issued_ns, expires_ns : int
        Unix time; at most an hour lies between.
    kind : str
    arguments : dict
        What the kind demands.
    """

    id: Ident
    boot: Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
    issued_ns: UnixNs
    expires_ns: UnixNs
    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    arguments: dict[str, JsonValue] = {}


class Response(_Message):
    """What became of a command.

    Attributes
    ----------
    id : str
        That of the command.
    boot : int
        uint32, the run that answers.
    status : {"done", "rejected", "failed"}
        ``rejected``: nothing was tried.
    reason : str or None
        Why not: ``boot``, ``expired``, ``lifetime``, ``kind``, ``arguments`` or ``busy``; where it
        failed, one line.
    result : dict
    """

    id: Ident
    boot: Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
    status: Literal["done", "rejected", "failed"]
    reason: str | None = None
    result: dict[str, JsonValue] = {}


def pack(message: Command | Response) -> bytes:
    """Write a message."""
    return message.model_dump_json().encode()


def unpack_command(data: bytes) -> Command:
    """Read a command.

    Raises
    ------
    CommandError
        With ``reason`` ``form``: it is too long or is none.
    """
    return _unpack(Command, data)


def unpack_response(data: bytes) -> Response:
    """Read a response.

    Raises
    ------
    CommandError
        With ``reason`` ``form``: it is too long or is none.
    """
    return _unpack(Response, data)


def _unpack(model: type[M], data: bytes) -> M:
    if len(data) > MAX_COMMAND_BYTES:
        raise CommandError("form", f"{len(data)} bytes, the limit is {MAX_COMMAND_BYTES}")
    try:
        return model.model_validate_json(data)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the message"
        raise CommandError("form", f"{where}: {' '.join(first['msg'].split())}") from fault
