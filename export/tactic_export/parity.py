"""Parity: the float encoder, the integers, and the two files that carry them, on real pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec import nest
from tactic_codec.packet import HEADER_BYTES
from tactic_export.freeze import Frozen, entropy_bytes
from tactic_export.runtimes import as_int8, run_onnx, run_tflite
from tactic_train import bootstrap
from tactic_train.confusion import accuracy, confusion, mean_iou
from tactic_train.heads import Task
from tactic_train.losses import quantise
from tactic_train.step import System

Answers = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Against:
    """A runtime against the integer reference."""

    latents_differing: float
    """Share of all symbols, 0 … 1."""
    largest_difference: int

    def text(self) -> str:
        """Share and largest difference in words."""
        return f"{self.latents_differing:.4%}, by at most {self.largest_difference}"


@dataclass(frozen=True, slots=True)
class LevelParity:
    """One rate level. Bytes are of whole packets, header included; shares are 0 … 1."""

    level: int
    onnxruntime: Against
    litert: Against
    float_encoder: Against
    same_answer: float
    agreement_float: float
    agreement_int8: float
    accuracy_float: float | None
    accuracy_int8: float | None
    accuracy_change_interval: list[float] | None
    """95 % of int8 less float, picture by picture: of pictures drawn anew, the same for both."""
    miou_float: float | None
    miou_int8: float | None
    bytes_float: float
    bytes_int8: float
    entropy_bytes_int8: float
    psnr_db_int8: float


_WORDS = {
    "classification": {
        "agreement": "same answer as on the uncompressed picture",
        "same": "int8 gives the answer of float",
        "accuracy": "accuracy",
    },
    "segmentation": {
        "agreement": "pixels of the same class as on the uncompressed picture",
        "same": "pixels to which int8 gives the class of float",
        "accuracy": "accuracy of pixels",
    },
}


@dataclass(frozen=True, slots=True)
class Parity:
    """The report over all levels.

    Where the head segments, answers are classes of pixels, and there is a mean intersection over
    union.
    """

    task: Task
    pictures: int
    accuracy_clean: float | None
    miou_clean: float | None
    default_level: int
    levels: tuple[LevelParity, ...]

    def rows(self) -> list[tuple[str, str]]:
        """The recommended level in words, for the model card and the command line."""
        at, words = self.levels[self.default_level], _WORDS[self.task]
        rows = [
            ("pictures", f"{self.pictures}"),
            ("rate level", f"{at.level} of 0 to {len(self.levels) - 1}"),
            ("bytes a packet, header included", f"{at.bytes_int8:.0f}"),
            ("entropy of the density fitted in training, bytes", f"{at.entropy_bytes_int8:.0f}"),
            ("PSNR", f"{at.psnr_db_int8:.1f} dB"),
            (words["agreement"], f"{at.agreement_int8:.1%}"),
            (words["same"], f"{at.same_answer:.1%}"),
            ("bytes, int8 against float", f"{at.bytes_int8 / at.bytes_float - 1:+.2%}"),
            ("symbols unlike the integer reference, ONNX Runtime", at.onnxruntime.text()),
            ("symbols unlike the integer reference, LiteRT", at.litert.text()),
            ("symbols unlike the integer reference, float encoder", at.float_encoder.text()),
        ]
        for name, share in (
            (f"{words['accuracy']}, uncompressed", self.accuracy_clean),
            (f"{words['accuracy']}, float encoder", at.accuracy_float),
            (f"{words['accuracy']}, int8 encoder", at.accuracy_int8),
            ("mean IoU, uncompressed", self.miou_clean),
            ("mean IoU, float encoder", at.miou_float),
            ("mean IoU, int8 encoder", at.miou_int8),
        ):
            if share is not None:
                rows.append((name, f"{share:.1%}"))
        if at.accuracy_change_interval:
            low, high = (f"{100 * end:+.2f}" for end in at.accuracy_change_interval)
            rows.append(
                (f"{words['accuracy']}, int8 less float, points [95 %]", f"[{low}, {high}]")
            )
        return rows

    def as_json(self) -> dict[str, object]:
        """Plain values for ``parity.json``."""
        return asdict(self)


def measure(
    system: System,
    frozen: Frozen,
    root: Path,
    default_level: int,
    pictures: NDArray[np.uint8],
    labels: Answers,
) -> Parity:
    """Compare the files below ``root`` with what they were made from.

    Parameters
    ----------
    default_level : int
        The level that the bundle recommends.
    pictures : uint8 array (N, H, W, 3)
    labels : integer array (N,), or (N, H, W) where the head segments
        Indices among the head's classes, −1 where unknown.
    """
    head = _Head(root / "gateway/head.onnx", system.head.task, len(system.head.labels), labels)
    clean = head.answers(pictures)
    levels = tuple(
        _measure_level(system, frozen, root, level, pictures, head, clean)
        for level in range(frozen.levels)
    )
    found = head.shares(clean)
    return Parity(head.task, len(pictures), *found, default_level=default_level, levels=levels)


@dataclass(frozen=True, slots=True, eq=False)
class _Head:
    """The head's file, and what is right for the pictures of the report."""

    path: Path
    task: Task
    classes: int
    labels: Answers

    def answers(self, pictures: NDArray[np.generic]) -> Answers:
        """Class of every picture (N,), or of every pixel (N, H, W)."""
        found = run_onnx(self.path, pictures)
        return found.argmax(axis=1) if self.task == "classification" else found

    def shares(self, answers: Answers) -> tuple[float | None, float | None]:
        """Accuracy and mean IoU, as far as they mean something."""
        counts = confusion(self.labels, answers, self.classes)
        return accuracy(counts), mean_iou(counts) if self.task == "segmentation" else None

    def change(self, ours: Answers, theirs: Answers) -> list[float] | None:
        """Paired 95 % interval of how much more accurate the first answers are; shares of 1."""
        known, right, other = (
            each.reshape(len(self.labels), -1).sum(axis=1).astype(np.float64)
            for each in (self.labels >= 0, ours == self.labels, theirs == self.labels)
        )
        share = bootstrap.weights(len(known))
        each = np.full(share.shape[1], np.nan)
        np.divide((right - other) @ share, known @ share, out=each, where=known @ share > 0)
        return bootstrap.interval(each)


def _measure_level(
    system: System,
    frozen: Frozen,
    root: Path,
    level: int,
    pictures: NDArray[np.uint8],
    head: _Head,
    clean: Answers,
) -> LevelParity:
    frames, stem = as_int8(pictures), f"device/encoder-{nest.chain(level)}"
    reference = frozen.latents(level, pictures)
    floating = np.concatenate([_float_latents(system, level, part) for part in _parts(pictures)])
    decoder, levels = root / "gateway/decoder.onnx", np.full(reference.shape[:2], level)
    decoded = run_onnx(decoder, reference, levels)
    ours = head.answers(decoded)
    theirs = head.answers(run_onnx(decoder, floating, levels))
    (accuracy_float, miou_float), (accuracy_int8, miou_int8) = map(head.shares, (theirs, ours))
    error = np.mean((decoded.astype(np.float64) - pictures) ** 2)
    return LevelParity(
        level=level,
        onnxruntime=_against(run_onnx(root / f"{stem}.onnx", frames), level, reference),
        litert=_against(run_tflite(root / f"{stem}.tflite", frames), level, reference),
        float_encoder=_against(floating, 0, reference),
        same_answer=float(np.mean(ours == theirs)),
        agreement_float=float(np.mean(theirs == clean)),
        agreement_int8=float(np.mean(ours == clean)),
        accuracy_float=accuracy_float,
        accuracy_int8=accuracy_int8,
        accuracy_change_interval=head.change(ours, theirs),
        miou_float=miou_float,
        miou_int8=miou_int8,
        bytes_float=packet_bytes(floating, frozen, level),
        bytes_int8=packet_bytes(reference, frozen, level),
        entropy_bytes_int8=entropy_bytes(reference, system.density, level),
        psnr_db_int8=float(10 * np.log10(255**2 / error)),
    )


def _parts(pictures: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [pictures[start : start + 16] for start in range(0, len(pictures), 16)]


@torch.no_grad()
def _float_latents(system: System, level: int, pictures: NDArray[np.uint8]) -> NDArray[np.int8]:
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    latent = quantise(system.codec.encode(x, torch.full((len(x), system.codec.channels), level)))
    return nest.coarsen(latent.to(torch.int8).numpy(), 0)


def _against(found: NDArray[np.int8], level: int, reference: NDArray[np.int8]) -> Against:
    gap = np.abs(nest.coarsen(found, level // 2).astype(np.int32) - reference)
    return Against(float(np.mean(gap > 0)), int(gap.max()))


def packet_bytes(latents: NDArray[np.int8], frozen: Frozen, level: int) -> float:
    """Mean bytes of the packets that carry these latents, headers included."""
    sizes = [len(frozen.stream(latent, level)) for latent in latents]
    return HEADER_BYTES + float(np.mean(sizes))
