"""The node's half of commands: which to carry out, once, and which to answer from memory.

No I/O and no clock. A command is carried out if it is for this run, has not expired, and was not
seen before; a repeated one gets the answer of the first time. Answers are remembered until their
command has expired, so that nothing can be played again.
"""

from __future__ import annotations

from dataclasses import dataclass

from tactic_delivery.command import MAX_LIFETIME_NS, Command, Response

MOST_ANSWERS = 256


@dataclass(frozen=True, slots=True)
class Now:
    """What time it is.

    Attributes
    ----------
    monotonic_ns : int
        Never goes back.
    unix_ns : int or None
        Wall clock; None where no time service keeps it right.
    """

    monotonic_ns: int
    unix_ns: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and until when its command could come again."""

    response: Response
    expires_ns: int


class Desk:
    """Commands of one run.

    Parameters
    ----------
    boot : int
        uint32, the run.
    answers : iterable of Answer
        Of this and earlier runs, as they were kept.
    """

    def __init__(self, boot: int, answers: tuple[Answer, ...] = ()) -> None:
        self._boot = boot
        self._answers = {each.response.id: each for each in answers}
        self._running: dict[str, Command] = {}
        self._heard: tuple[int, int] | None = None

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What has to be remembered, oldest first."""
        return tuple(self._answers.values())

    def receive(self, command: Command, now: Now) -> Response | None:
        """Take a command that is known to be the gateway's.

        Returns
        -------
        Response or None
            What to answer at once; None: carry it out and call `finish`, or, if `is_running` said
            so before, only wait.
        """
        if known := self._answers.get(command.id):
            return known.response
        if command.boot != self._boot:
            return self._reject(command, "boot")
        unix_ns = self._note_time(command, now)
        self._forget(unix_ns)
        if command.expires_ns <= unix_ns:
            return self._reject(command, "expired")
        if command.expires_ns - command.issued_ns > MAX_LIFETIME_NS:
            return self._reject(command, "lifetime")
        if len(self._answers) + len(self._running) >= MOST_ANSWERS:
            return self._reject(command, "busy")
        self._running[command.id] = command
        return None

    def is_running(self, command: Command) -> bool:
        """Whether the command is being carried out already."""
        return command.id in self._running

    def finish(self, response: Response) -> None:
        """Remember the answer of a command that was carried out, or could not be."""
        command = self._running.pop(response.id)
        self._answers[response.id] = Answer(response, command.expires_ns)

    def _note_time(self, command: Command, now: Now) -> int:
        """Tell the time: by the wall clock, or from what the gateway has said so far.

        A command was issued before it arrived. So a node without a clock knows a time that has
        passed, and counts on from there.
        """
        if now.unix_ns is not None:
            return now.unix_ns
        known_ns = 0
        if self._heard is not None:
            issued_ns, at_ns = self._heard
            known_ns = issued_ns + now.monotonic_ns - at_ns
        if command.issued_ns > known_ns:
            self._heard = (command.issued_ns, now.monotonic_ns)
        return max(known_ns, command.issued_ns)

    def _forget(self, unix_ns: int) -> None:
        late = [ident for ident, each in self._answers.items() if each.expires_ns <= unix_ns]
        for ident in late:
            del self._answers[ident]

    def _reject(self, command: Command, reason: str) -> Response:
        return Response(id=command.id, boot=self._boot, status="rejected", reason=reason)
