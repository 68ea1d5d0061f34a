"""What gateway and worker say to each other, as messages of `pipes`.

The worker decodes what strangers sent, so the gateway believes nothing that it says before its
form is checked.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tactic_gateway.pipes import Message
from tactic_gateway.records import Job
from tactic_gateway.results import Finding, Verdict

#: Exit code of a worker that needed more memory than it may have.
OUT_OF_MEMORY = errno.ENOMEM

_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_UINT32 = 1 << 32


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker has to know.

    Attributes
    ----------
    bundles : tuple of (str, str)
        Folder of each, and the digest of the manifest that the gateway trusts.
    threads : int
        Threads that one call of a network may use.
    top : int
        Classes in an answer of classification.
    memory_bytes : int
        Data that the process may allocate.
    parent : int
        Process id of the gateway.
    """

    bundles: tuple[tuple[str, str], ...]
    threads: int
    top: int
    memory_bytes: int
    parent: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The packets of one frame, and the bundle that they name."""

    bundle: int
    raws: tuple[bytes, ...]


def pack_setup(setup: Setup) -> Message:
    """Say how to work."""
    return asdict(setup), b""


def unpack_setup(message: Message) -> Setup:
    """Mirror of `pack_setup`; the worker believes the gateway."""
    head, _ = message
    return Setup(**head | {"bundles": tuple(tuple(each) for each in head["bundles"])})


def pack_jobs(jobs: Sequence[Job]) -> Message:
    """Hand frames out."""
    frames = [{"bundle": job.bundle, "sizes": [len(raw) for raw in job.raws]} for job in jobs]
    return {"frames": frames}, b"".join(raw for job in jobs for raw in job.raws)


def unpack_frames(message: Message) -> list[Frame]:
    """Mirror of `pack_jobs`."""
    head, body = message
    frames, at = [], 0
    for each in head["frames"]:
        raws = []
        for size in each["sizes"]:
            raws.append(body[at : at + size])
            at += size
        frames.append(Frame(each["bundle"], tuple(raws)))
    return frames


def pack_verdicts(verdicts: Sequence[Verdict]) -> Message:
    """Hand back what became of the frames, in their order."""
    return {"verdicts": [asdict(verdict) for verdict in verdicts]}, b""


def unpack_verdicts(message: Message, count: int) -> list[Verdict]:
    """Mirror of `pack_verdicts`.

    Raises
    ------
    ValueError
        Not ``count`` verdicts, or something in them is not what it has to be.
    """
    verdicts = message[0].get("verdicts")
    if not isinstance(verdicts, list) or len(verdicts) != count:
        raise ValueError(f"not {count} verdicts")
    try:
        return [_verdict(each) for each in verdicts]
    except (KeyError, TypeError) as fault:
        raise ValueError(f"a verdict without form: {fault}") from fault


def _verdict(body: dict[str, Any]) -> Verdict:
    captured, failure = body["captured"], body["failure"]
    if not isinstance(captured, int) or not 0 <= captured < _UINT32:
        raise ValueError("a time of capture that is none")
    if failure is None:
        findings = tuple(_finding(each) for each in body["findings"])
        return Verdict(captured, findings, cut=body["cut"] is True)
    reason, detail = failure
    return Verdict(failure=(_name(reason), str(detail)[:1000]))


def _finding(body: dict[str, Any]) -> Finding:
    fields = body["fields"]
    if not isinstance(fields, dict):
        raise ValueError("a finding without fields")
    return Finding(_name(body["task"]), _name(body["head"]), _name(body["model"]), fields)


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"no name: {value!r:.40}")
    return value
