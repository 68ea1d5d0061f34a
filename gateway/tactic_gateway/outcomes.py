"""From what a worker said of a frame to what is stored of it."""

from __future__ import annotations

from tactic_codec.node_key import wire_bytes
from tactic_codec.packet import TIME_UNIT_NS
from tactic_gateway.records import Job, Outcome
from tactic_gateway.results import Result, Verdict


def outcome(job: Job, verdict: Verdict, now_ns: int) -> Outcome:
    """Put the findings and the facts of a job together.

    Parameters
    ----------
    job : Job
    verdict : Verdict
    now_ns : int
        Unix time.
    """
    if verdict.failure:
        return Outcome(job, failure=verdict.failure)
    captured_unix_ns = None
    if job.booted_unix_ns is not None:
        captured_unix_ns = job.booted_unix_ns + verdict.captured * TIME_UNIT_NS
    size_bytes = sum(wire_bytes(raw) for raw in job.raws)
    latency_ms = max(0, now_ns - job.received_ns) / 1e6
    return Outcome(
        job,
        tuple(
            Result(job.key, finding, captured_unix_ns, size_bytes, latency_ms, job.parts)
            for finding in verdict.findings
        ),
        cut=verdict.cut,
    )
