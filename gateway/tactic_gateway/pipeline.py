"""One bundle at work: packets of frames in, results out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError, CodecError
from tactic_codec.packet import TIME_UNIT_NS, Packet, unpack
from tactic_codec.types import Latent
from tactic_gateway.decoder import Decoder
from tactic_gateway.errors import DecodeError
from tactic_gateway.records import Job, Outcome
from tactic_gateway.task import Answer, Result, Task, open_task


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    job: Job
    packet: Packet
    latent: Latent


class Pipeline:
    """Decoder and heads of one bundle; several threads may use it at once.

    Parameters
    ----------
    bundle : Bundle
    threads : int
        Threads that one call of a network may use.
    top : int
        Number of classes in a result of classification.
    now_ns : callable
        Unix time.

    Raises
    ------
    BundleError
        A network cannot be loaded, or does not fit the bundle's own probe frames.
    """

    def __init__(self, bundle: Bundle, threads: int, top: int, now_ns: Callable[[], int]) -> None:
        self._decoder = Decoder(bundle, threads)
        self._heads = [open_task(bundle, head, threads, top) for head in bundle.manifest.heads]
        self._now_ns = now_ns
        try:
            symbols = bundle.probe()[1][0, 0]
            latent = Latent(symbols, np.zeros(len(symbols), np.int64))
            pictures = self._decoder.pictures([latent])
            for head in self._heads:
                head.answers(pictures)
        except DecodeError as fault:
            raise BundleError(f"{bundle.path}: {fault.detail}; export the bundle again") from fault

    def process(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Decode frames and run every head on them, one batch for each size of frame.

        A frame that cannot be decoded costs only itself: where a network refuses a batch, its
        frames are tried one by one.
        """
        outcomes: list[Outcome] = []
        decoded: list[_Decoded] = []
        for job in jobs:
            try:
                decoded.append(self._decode(job))
            except DecodeError as fault:
                outcomes.append(Outcome(job, failure=(fault.reason, fault.detail)))
        decoded.sort(key=lambda each: each.packet.geometry)
        for _, group in itertools.groupby(decoded, key=lambda each: each.packet.geometry):
            outcomes += self._run_or_split(list(group))
        return outcomes

    def _decode(self, job: Job) -> _Decoded:
        try:
            packets = [unpack(raw) for raw in job.raws]
        except CodecError as fault:
            raise DecodeError("store", f"damaged in the store: {fault}") from fault
        return _Decoded(job, packets[0], self._decoder.latent(packets))

    def _run_or_split(self, frames: list[_Decoded]) -> list[Outcome]:
        try:
            return self._run(frames)
        except DecodeError as fault:
            if len(frames) > 1:
                return [outcome for frame in frames for outcome in self._run_or_split([frame])]
            return [Outcome(frames[0].job, failure=(fault.reason, fault.detail))]

    def _run(self, frames: list[_Decoded]) -> list[Outcome]:
        pictures = self._decoder.pictures([frame.latent for frame in frames])
        answers = [head.answers(pictures) for head in self._heads]
        now_ns = self._now_ns()
        return [
            Outcome(
                frame.job,
                tuple(
                    _result(frame, head, of_head[index], now_ns)
                    for head, of_head in zip(self._heads, answers, strict=True)
                ),
            )
            for index, frame in enumerate(frames)
        ]


def _result(frame: _Decoded, head: Task, answer: Answer, now_ns: int) -> Result:
    job = frame.job
    captured_unix_ns = None
    if job.booted_unix_ns is not None:
        captured_unix_ns = job.booted_unix_ns + frame.packet.captured * TIME_UNIT_NS
    return Result(
        key=job.key,
        task=head.task,
        head=head.name,
        captured_unix_ns=captured_unix_ns,
        wire_bytes=sum(len(raw) for raw in job.raws),
        latency_ms=max(0, now_ns - job.received_ns) / 1e6,
        answer=answer,
    )
