"""One bundle at work: packets of frames in, findings of the heads out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError, CodecError
from tactic_codec.packet import Packet, unpack
from tactic_codec.types import Latent
from tactic_gateway.decoder import Decoder
from tactic_gateway.errors import DecodeError
from tactic_gateway.results import Finding, Verdict
from tactic_gateway.task import Answer, Task, open_task


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    index: int
    packet: Packet
    latent: Latent


class Pipeline:
    """Decoder and heads of one bundle.

    Parameters
    ----------
    bundle : Bundle
    threads : int
        Threads that one call of a network may use.
    top : int
        Number of classes in an answer of classification.

    Raises
    ------
    BundleError
        A network cannot be loaded, or does not fit the bundle's own probe frames.
    """

    def __init__(self, bundle: Bundle, threads: int, top: int) -> None:
        self._decoder = Decoder(bundle, threads)
        self._heads = [open_task(bundle, head, threads, top) for head in bundle.manifest.heads]
        try:
            symbols = bundle.probe()[1][0, 0]
            latent = Latent(symbols, np.zeros(len(symbols), np.int64))
            pictures = self._decoder.pictures([latent])
            for head in self._heads:
                head.answers(pictures)
        except DecodeError as fault:
            raise BundleError(f"{bundle.path}: {fault.detail}; export the bundle again") from fault

    def process(self, frames: Sequence[Sequence[bytes]]) -> list[Verdict]:
        """Decode frames and run every head on them, one batch for each size of frame.

        A frame that cannot be decoded costs only itself: where a network refuses a batch, its
        frames are tried one by one.

        Parameters
        ----------
        frames : sequence of sequences of bytes
            Packets of each frame as they came, first the one that opens it.

        Returns
        -------
        list of Verdict
            In the order of the frames.
        """
        verdicts: dict[int, Verdict] = {}
        decoded: list[_Decoded] = []
        for index, raws in enumerate(frames):
            try:
                decoded.append(self._decode(index, raws))
            except DecodeError as fault:
                verdicts[index] = Verdict(failure=(fault.reason, fault.detail))
        decoded.sort(key=lambda each: each.packet.geometry)
        for _, group in itertools.groupby(decoded, key=lambda each: each.packet.geometry):
            verdicts |= self._run_or_split(list(group))
        return [verdicts[index] for index in range(len(frames))]

    def _decode(self, index: int, raws: Sequence[bytes]) -> _Decoded:
        try:
            packets = [unpack(raw, sealed=True) for raw in raws]
        except CodecError as fault:
            raise DecodeError("store", f"damaged in the store: {fault}") from fault
        return _Decoded(index, packets[0], self._decoder.latent(packets))

    def _run_or_split(self, frames: list[_Decoded]) -> dict[int, Verdict]:
        try:
            return self._run(frames)
        except DecodeError as fault:
            if len(frames) > 1:
                parts = [self._run_or_split([frame]) for frame in frames]
                return {index: verdict for part in parts for index, verdict in part.items()}
            return {frames[0].index: Verdict(failure=(fault.reason, fault.detail))}

    def _run(self, frames: list[_Decoded]) -> dict[int, Verdict]:
        pictures = self._decoder.pictures([frame.latent for frame in frames])
        answers = [head.answers(pictures) for head in self._heads]
        return {
            frame.index: Verdict(
                frame.packet.captured,
                tuple(
                    _finding(head, of_head[place])
                    for head, of_head in zip(self._heads, answers, strict=True)
                ),
                cut=bool(np.any(frame.latent.levels > frame.packet.level)),
            )
            for place, frame in enumerate(frames)
        }


def _finding(head: Task, answer: Answer) -> Finding:
    return Finding(head.task, head.name, head.model, answer.fields())
