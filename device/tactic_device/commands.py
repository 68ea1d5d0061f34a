"""What the gateway tells this node to do: checked, carried out once, answered, remembered.

The network thread takes commands and sends answers. What changes the coder waits for the
capturing thread, which looks between two frames.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tactic_codec.durable import replace_file
from tactic_codec.errors import PacketError, TacticError
from tactic_codec.node_key import NodeKey, Purpose
from tactic_delivery import kinds
from tactic_delivery.command import Command, Response, pack, unpack_command
from tactic_delivery.desk import Answer, Desk, Now
from tactic_delivery.errors import CommandError
from tactic_delivery.kinds import Arguments
from tactic_device.errors import SlotError
from tactic_device.log import Log

FILE = "commands.json"

Result = Mapping[str, Any]
Change = Callable[[Arguments], Result]


class Commands:
    """Commands of one run.

    Parameters
    ----------
    folder : Path
        Where answers are kept.
    boot : int
        uint32, the run.
    key : NodeKey or None
        Believe only what was made with it, and sign the answers.
    now : callable
        Gives `Now`.
    at_once : mapping of str to callable
        Kinds that are carried out where they arrive, by what gives the result.
    take_chunk : callable (bytes) or None
        Takes pieces of bundles; None: this node takes none.
    log : Log
    """

    def __init__(
        self,
        folder: Path,
        boot: int,
        key: NodeKey | None,
        *,
        now: Callable[[], Now],
        at_once: Mapping[str, Change],
        take_chunk: Callable[[bytes], None] | None = None,
        log: Log,
    ) -> None:
        self._path = folder / FILE
        self._boot = boot
        self._key = key
        self._now = now
        self._at_once = at_once
        self._take_chunk = take_chunk
        self._log = log
        self._desk = Desk(boot, _read(self._path))
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Response] = queue.SimpleQueue()
        self.counts: Counter[str] = Counter()

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the topics on which the gateway speaks to this object."""
        return ("cmd", "blob") if self._take_chunk else ("cmd",)

    def receive(self, name: str, message: bytes) -> None:
        """Take a message of one of the topics; nothing it can be does harm."""
        try:
            if name == "blob":
                self._chunk(message)
                return
            body = self._key.open(Purpose.COMMAND, message) if self._key else message
            command = unpack_command(body)
        except (PacketError, CommandError) as fault:
            self.counts["commands_rejected"] += 1
            if self.counts["commands_rejected"] == 1:
                self._log.warning("command_rejected", cause=str(fault))
            return
        with self._lock:
            if self._desk.is_running(command):
                return
            answer = self._desk.receive(command, self._now())
        if answer is not None:
            self._answer(command.kind, answer)
        elif command.kind in self._at_once:
            self._carry_out(command, self._at_once[command.kind])
        else:
            self._waiting.put(command)

    def _chunk(self, message: bytes) -> None:
        assert self._take_chunk is not None, "only then is it subscribed"
        try:
            self._take_chunk(message)
        except SlotError as fault:
            self.counts["chunks_lost"] += 1
            if self.counts["chunks_lost"] == 1:
                self._log.warning("chunk_lost", cause=str(fault))

    def work(self, changes: Mapping[str, Change]) -> None:
        """Carry out what waits; called by the capturing thread."""
        while True:
            try:
                command = self._waiting.get_nowait()
            except queue.Empty:
                return
            self._carry_out(command, changes.get(command.kind, _unknown))

    def take_answers(self) -> list[tuple[str, bytes]]:
        """Ids and messages that are to be published on the topic ``res`` now."""
        found: list[tuple[str, bytes]] = []
        while True:
            try:
                response = self._answers.get_nowait()
            except queue.Empty:
                return found
            body = pack(response)
            signed = self._key.sign(Purpose.RESPONSE, body) if self._key else body
            found.append((response.id, signed))

    def _carry_out(self, command: Command, change: Change) -> None:
        response = self._try(command, change)
        with self._lock:
            self._desk.finish(response)
        self.counts["commands"] += 1
        if not kinds.is_quiet(command.kind):
            self._keep()
            facts = {"kind": command.kind, "status": response.status, "reason": response.reason}
            self._log.info("command", id=command.id, **facts)
        self._answer(command.kind, response)

    def _answer(self, kind: str, response: Response) -> None:
        if response.status != "done" or response.result or not kinds.is_quiet(kind):
            self._answers.put(response)

    def _keep(self) -> None:
        with self._lock:
            kept = [
                asdict(each) | {"response": each.response.model_dump()}
                for each in self._desk.answers
            ]
        try:
            replace_file(self._path, json.dumps(kept).encode())
        except OSError as fault:
            self._log.warning("commands_not_kept", cause=fault.strerror)

    def _try(self, command: Command, change: Change) -> Response:
        answer = partial(Response, id=command.id, boot=self._boot)
        try:
            result = change(kinds.check(command.kind, command.arguments))
        except CommandError as fault:
            return answer(status="rejected", reason=fault.reason, result={"detail": str(fault)})
        except TacticError as fault:
            return answer(status="failed", reason=str(fault))
        return answer(status="done", result=dict(result))


def _unknown(_arguments: Arguments) -> Result:
    raise CommandError("kind", "this node does not know it")


def _read(path: Path) -> tuple[Answer, ...]:
    """What an earlier run kept; nothing where there is no such file, or no whole one."""
    try:
        return tuple(
            Answer(Response.model_validate(each["response"]), int(each["expires_ns"]))
            for each in json.loads(path.read_bytes())
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
