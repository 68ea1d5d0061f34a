"""What to say where the packages of a room are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tactic_codec.errors import TacticError


class MissingRoomError(TacticError):
    """A command needs packages that are not installed (exit code 2)."""

    exit_code = 2


@contextmanager
def packages_of(room: str) -> Iterator[None]:
    """Import inside of it what a command needs of a room.

    Raises
    ------
    MissingRoomError
        A package is not there; the message says what to install.
    """
    try:
        yield
    except ImportError as fault:
        raise MissingRoomError(
            f"this command needs {fault.name}, which is not installed: "
            f"pip install '.[{room}]' in a checkout of tactic"
        ) from fault
