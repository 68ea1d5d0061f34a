"""What nodes with change gating are told of their answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tactic_codec.node_key import NodeKey, Purpose
from tactic_codec.types import FrameKey
from tactic_delivery.command import unpack_command
from tactic_delivery.kinds import check
from tactic_gateway.commands import Commands
from tactic_gateway.keys import Keys
from tactic_gateway.metrics import Metrics
from tactic_gateway.records import Job, Outcome
from tactic_gateway.results import Finding, Result
from tactic_gateway.telling import LIFETIME_NS, Teller
from tactic_gateway.topics import Topics

S = 1_000_000_000
KEY = NodeKey(bytes(range(32)), "lab", "cam1")


@dataclass
class Rig:
    """A teller whose messages are kept."""

    keys: Keys
    said: list[tuple[str, bytes]] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    now_ns: int = S

    def __post_init__(self) -> None:
        topics = Topics("tactic/v1", "lab")
        commands = Commands(
            self.keys, topics, lambda *message: self.said.append(message), lambda: self.now_ns
        )
        self.teller = Teller(0.3, commands, self.metrics, monotonic_ns=lambda: self.now_ns)

    def answer(self, seq: int, *fields: object) -> None:
        key = FrameKey("cam1", 7, seq)
        job = Job(seq, key, 0, 1, 0, None, (b"",))
        results = tuple(
            Result(key, Finding("classification", "head", "model", each), None, 9, 0.0, 0)  # type: ignore[arg-type]
            for each in fields
        )
        self.teller.note(Outcome(job, results))


def scores(*found: float) -> dict[str, object]:
    return {"classes": [{"label": "a", "index": 0, "score": each} for each in found]}


def test_a_node_is_told_how_near_its_answer_is() -> None:
    rig = Rig(Keys({}))
    rig.answer(0, scores(0.15, 0.1))
    ((topic, body),) = rig.said
    asked = unpack_command(body)
    assert topic == "tactic/v1/lab/cam1/cmd"
    assert (asked.kind, asked.boot, asked.expires_ns) == ("margin", 7, S + LIFETIME_NS)
    assert asked.arguments == {"margin": pytest.approx(0.8)}
    check(asked.kind, asked.arguments)
    rig.answer(1, scores(0.16, 0.1))
    assert len(rig.said) == rig.metrics.snapshot()["gating.told"] == 1


def test_of_several_heads_the_nearest_counts() -> None:
    rig = Rig(Keys({}))
    rig.answer(0, scores(0.01, 0.01), scores(0.3, 0.1), {"classes": [{"share": 0.5}]})
    assert unpack_command(rig.said[0][1]).arguments == {"margin": pytest.approx(0.05)}


@pytest.mark.parametrize("fields", [{}, {"classes": []}, {"classes": [{"share": 1.0}]}])
def test_heads_without_scores_say_nothing(fields: dict[str, object]) -> None:
    rig = Rig(Keys({}))
    rig.answer(0, fields)
    rig.answer(1)
    assert rig.said == []


def test_it_is_signed() -> None:
    rig = Rig(Keys({"cam1": KEY}))
    rig.answer(0, scores(0.9, 0.1))
    assert unpack_command(KEY.open(Purpose.COMMAND, rig.said[0][1])).kind == "margin"
