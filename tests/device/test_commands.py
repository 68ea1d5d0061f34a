"""Commands on the node: believed only from the gateway, carried out once, answered again."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tactic_codec.bundle import Bundle
from tactic_codec.errors import ConfigError, PacketError
from tactic_codec.node_key import NodeKey, Purpose
from tactic_delivery.command import Command, Response, pack, unpack_response
from tactic_delivery.desk import Now
from tactic_delivery.kinds import Arguments, Refine, SetLevel
from tactic_device import encoders
from tactic_device.coder import Coder
from tactic_device.commands import Commands
from tactic_device.log import Log
from tactic_device.sources import Shot

Events = Callable[[], list[dict[str, Any]]]
BOOT, T0, S = 7, 1_700_000_000_000_000_000, 1_000_000_000
SECRET = bytes(range(32))
KEY = NodeKey(SECRET, "yard", "cam1")


def command(number: int = 1, kind: str = "ping", boot: int = BOOT, **arguments: Any) -> bytes:
    made = Command(
        id=f"{number:032x}",
        boot=boot,
        issued_ns=T0,
        expires_ns=T0 + 60 * S,
        kind=kind,
        arguments=arguments,
    )
    return pack(made)


class Bench:
    """Commands of a node, and how often something was done."""

    def __init__(self, folder: Path, log: Log, key: NodeKey | None = None, boot: int = BOOT):
        self.done: list[Any] = []
        self.commands = Commands(
            folder,
            boot,
            key,
            now=lambda: Now(0, T0),
            at_once={"ping": self._report, "report": self._report, "refine": self._refine},
            log=log,
        )

    def _report(self, _arguments: Arguments) -> dict[str, Any]:
        self.done.append("report")
        return {"count": len(self.done)}

    def _refine(self, arguments: Arguments) -> dict[str, Any]:
        assert isinstance(arguments, Refine)
        self.done.append(arguments.frames)
        return {"gone": [99]} if 99 in arguments.frames else {}

    def _set_level(self, arguments: Arguments) -> dict[str, Any]:
        assert isinstance(arguments, SetLevel)
        if arguments.level == 5:
            raise ConfigError("no such level; choose another")
        self.done.append(arguments.level)
        return {"level": arguments.level}

    def answers(self, *messages: bytes) -> list[Response]:
        for message in messages:
            self.commands.receive("cmd", message)
        self.commands.work({"set_level": self._set_level})
        return [unpack_response(body) for _, body in self.commands.take_answers()]


@pytest.fixture
def bench(tmp_path: Path, log: Log) -> Bench:
    return Bench(tmp_path, log)


def test_a_report_is_answered_at_once_and_a_change_between_two_frames(bench: Bench) -> None:
    bench.commands.receive("cmd", command(1))
    bench.commands.receive("cmd", command(2, "set_level", level=2))
    assert [each for each, _ in bench.commands.take_answers()] == [f"{1:032x}"]
    assert bench.done == ["report"]
    (answer,) = bench.answers()
    assert (answer.status, answer.result) == ("done", {"level": 2})
    assert bench.done == ["report", 2]


def test_a_repeated_command_is_answered_and_not_done_again(
    bench: Bench, tmp_path: Path, log: Log
) -> None:
    first = bench.answers(command(1), command(1), command(2, "set_level", level=1))
    again = bench.answers(command(1), command(2, "set_level", level=1))
    assert first[0] == first[1] == again[0]
    assert first[2] == again[1]
    assert bench.done == ["report", 1]
    # A later run answers from the record, and carries out nothing that was for the earlier one.
    later = Bench(tmp_path, log, boot=BOOT + 1)
    assert later.answers(command(1), command(2, "set_level", level=1)) == again
    (refused,) = later.answers(command(3))
    assert (refused.status, refused.reason) == ("rejected", "boot")
    assert later.done == []


def test_a_quiet_kind_is_answered_where_it_says_something_and_never_kept(
    bench: Bench, tmp_path: Path
) -> None:
    ask = partial(command, kind="refine")
    assert bench.answers(ask(1, frames=[3]), ask(1, frames=[3])) == []
    (answer,) = bench.answers(ask(2, frames=[3, 99]))
    assert answer.result == {"gone": [99]}
    (answer,) = bench.answers(ask(3, frames=[]))
    assert (answer.status, answer.reason) == ("rejected", "arguments")
    assert bench.done == [[3], [3, 99]]
    assert not (tmp_path / "commands.json").exists()


def test_while_it_waits_a_repetition_changes_nothing(bench: Bench) -> None:
    change = command(1, "set_level", level=1)
    assert len(bench.answers(change, change, change)) == 1
    assert bench.done == [1]


@pytest.mark.parametrize(
    ("message", "status", "reason"),
    [
        (command(1, "reboot"), "rejected", "kind"),
        (command(1, "set_budget", budget_bytes=100), "rejected", "kind"),
        (command(1, "set_level"), "rejected", "arguments"),
        (command(1, "set_level", level=9), "rejected", "arguments"),
        (command(1, "set_level", level=5), "failed", "no such level; choose another"),
    ],
)
def test_what_cannot_be_done_says_why(
    bench: Bench, message: bytes, status: str, reason: str
) -> None:
    (answer,) = bench.answers(message)
    assert (answer.status, answer.reason) == (status, reason)
    assert bench.done == []


def test_nothing_without_the_key_is_heard(tmp_path: Path, log: Log, events: Events) -> None:
    bench = Bench(tmp_path, log, KEY)
    good = KEY.sign(Purpose.COMMAND, command(1))
    rng = Random(2)
    bad = [
        command(1),
        KEY.sign(Purpose.ACK, command(1)),
        NodeKey(SECRET, "yard", "cam2").sign(Purpose.COMMAND, command(1)),
        NodeKey(bytes(32), "yard", "cam1").sign(Purpose.COMMAND, command(1)),
        good[:-1],
        b"",
        KEY.sign(Purpose.COMMAND, b"{"),
    ]
    for _ in range(500):
        changed = bytearray(good)
        changed[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        bad.append(bytes(changed))
    assert bench.answers(*bad) == []
    assert bench.done == []
    assert bench.commands.counts["commands_rejected"] == len(bad)
    assert [event["event"] for event in events()] == ["command_rejected"]
    bench.commands.receive("cmd", good)
    ((_, signed),) = bench.commands.take_answers()
    assert unpack_response(KEY.open(Purpose.RESPONSE, signed)).status == "done"
    with pytest.raises(PacketError):
        KEY.open(Purpose.COMMAND, signed)


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"response": {}}]', "[" * 5000])
def test_a_damaged_record_is_begun_anew(tmp_path: Path, log: Log, content: str) -> None:
    (tmp_path / "commands.json").write_text(content)
    bench = Bench(tmp_path, log)
    assert bench.answers(command(1))[0].status == "done"
    assert len(json.loads((tmp_path / "commands.json").read_text())) == 1


def test_a_coder_changes_its_level_within_and_between_the_chains(bundle: Bundle) -> None:
    pytest.importorskip("onnxruntime")
    choice = encoders.choose(bundle, 0, "onnxruntime", 1)
    coder = Coder(bundle, choice.encoder, 0, 0)
    shot = Shot(np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8), 0)
    for level in (0, 2, 1, 0):
        coder = coder.at_level(level, "onnxruntime", 1)
        packet = coder.encode(shot)
        fresh = encoders.choose(bundle, level, "onnxruntime", 1).encoder
        assert packet == Coder(bundle, fresh, 0, level).encode(shot)
        assert packet.level == level
