"""The end of a bundle's delivery: what a node that starts again meanwhile has to say of it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tactic_delivery.command import Response
from tactic_gateway import delivering
from tactic_gateway.errors import NodeError
from tactic_gateway.remote import Remote

DIGEST = "5e" * 32


class Node:
    """Answers each kind of command with the next of its answers, the last again and again."""

    node = "cam1"

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        self.answers = answers

    def call(self, kind: str, _arguments: dict[str, Any], _patience_s: float) -> Response:
        left = self.answers[kind]
        answer = left.pop(0) if len(left) > 1 else left[0]
        return Response(id="00" * 16, boot=2, **answer)


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "LOOK_S", 0.0)


def try_out(node: Node, patience_s: float = 5.0) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    return delivering.try_out(cast(Remote, node), DIGEST, patience_s, said.append), said


def state(outcome: str, manifest: str = DIGEST, **more: str) -> dict[str, Any]:
    return {"status": "done", "result": {"manifest": manifest, "outcome": outcome, **more}}


def test_a_trial_that_is_passed() -> None:
    began = {"status": "done", "result": {"trial_s": 30.0}}
    found, said = try_out(Node(activate=[began], bundle=[state("trial"), state("kept")]))
    assert found["outcome"] == "kept"
    assert said == ["tested; on trial for 30 s"]


def test_a_node_that_ended_before_it_could_answer_says_what_became_of_the_trial() -> None:
    rejected = {"status": "rejected", "reason": "boot"}
    ended = state("rolled back", reason="the node ended during the trial")
    node = Node(activate=[rejected], bundle=[rejected, ended])
    with pytest.raises(NodeError, match="cam1: rolled back: the node ended during the trial"):
        try_out(node)


def test_a_node_that_ended_before_the_trial_is_not_waited_for_without_end() -> None:
    rejected = {"status": "rejected", "reason": "boot"}
    node = Node(activate=[rejected], bundle=[state("kept", manifest="00" * 32)])
    with pytest.raises(NodeError, match="or never began; see its log, then install"):
        try_out(node, patience_s=0.05)


def test_any_other_refusal_is_the_end() -> None:
    refused = {"status": "rejected", "reason": "busy"}
    with pytest.raises(NodeError, match="bundle rejected: busy"):
        try_out(Node(activate=[refused], bundle=[state("kept")]))
