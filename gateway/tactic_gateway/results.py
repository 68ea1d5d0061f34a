"""What the heads say about a frame, and the result that applications read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tactic_codec.manifest import Head
from tactic_codec.types import FrameKey

_MODEL_DIGITS = 16


def model_of(head: Head) -> str:
    """Name the network of a head: a retrained head keeps its name and has another model."""
    return head.model.sha256[:_MODEL_DIGITS]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one head says about one frame.

    Attributes
    ----------
    task, head : str
    model : str
        See `model_of`.
    fields : mapping
        Its part of the result, as JSON has it.
    """

    task: str
    head: str
    model: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one frame in a pipeline.

    Attributes
    ----------
    captured : int
        uint32, time of capture as its packet has it; 0 where the frame failed.
    findings : tuple of Finding
        One of each head; none where the frame failed.
    failure : (str, str) or None
        Reason and detail of the failure.
    cut : bool
        Words of the stream are missing at its end.
    """

    captured: int = 0
    findings: tuple[Finding, ...] = ()
    failure: tuple[str, str] | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A finding with the frame that it belongs to; unique per (key, head, model, parts).

    Attributes
    ----------
    key : FrameKey
    finding : Finding
    captured_unix_ns : int or None
        When the picture was taken; None unless the clock of the node was synchronised.
    wire_bytes : int
        Bytes of all packets of the frame, headers included.
    latency_ms : float
        From the reception of the frame to the result.
    parts : int
        How many PARTs it was made with; 0: the first answer.
    """

    key: FrameKey
    finding: Finding
    captured_unix_ns: int | None
    wire_bytes: int
    latency_ms: float
    parts: int = 0

    def to_json(self) -> str:
        """One JSON object, as published and stored."""
        body = {
            "node": self.key.node,
            "boot": self.key.boot,
            "seq": self.key.seq,
            "task": self.finding.task,
            "head": self.finding.head,
            "model": self.finding.model,
            "captured_unix_ns": self.captured_unix_ns,
            "parts": self.parts,
            "wire_bytes": self.wire_bytes,
            "latency_ms": round(self.latency_ms, 3),
            **self.finding.fields,
        }
        return json.dumps(body, separators=(",", ":"))
