"""Parity: the float encoder, the integers, and the two files that carry them, on real pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tactic_codec import nest
from tactic_codec.packet import HEADER_BYTES
from tactic_export.freeze import Frozen, entropy_bytes
from tactic_export.runtimes import as_int8, run_onnx, run_tflite
from tactic_train.losses import quantise
from tactic_train.step import System


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
    bytes_float: float
    bytes_int8: float
    entropy_bytes_int8: float
    psnr_db_int8: float


@dataclass(frozen=True, slots=True)
class Parity:
    """The report over all levels."""

    pictures: int
    accuracy_clean: float | None
    default_level: int
    levels: tuple[LevelParity, ...]

    def rows(self) -> list[tuple[str, str]]:
        """The recommended level in words, for the model card and the command line."""
        at = self.levels[self.default_level]
        rows = [
            ("pictures", f"{self.pictures}"),
            ("rate level", f"{at.level} of 0 to {len(self.levels) - 1}"),
            ("bytes a packet, header included", f"{at.bytes_int8:.0f}"),
            ("entropy of the density fitted in training, bytes", f"{at.entropy_bytes_int8:.0f}"),
            ("PSNR", f"{at.psnr_db_int8:.1f} dB"),
            ("same answer as on the uncompressed picture", f"{at.agreement_int8:.1%}"),
            ("int8 gives the answer of float", f"{at.same_answer:.1%}"),
            ("bytes, int8 against float", f"{at.bytes_int8 / at.bytes_float - 1:+.2%}"),
            ("symbols unlike the integer reference, ONNX Runtime", at.onnxruntime.text()),
            ("symbols unlike the integer reference, LiteRT", at.litert.text()),
            ("symbols unlike the integer reference, float encoder", at.float_encoder.text()),
        ]
        for name, share in (
            ("accuracy, uncompressed", self.accuracy_clean),
            ("accuracy, float encoder", at.accuracy_float),
            ("accuracy, int8 encoder", at.accuracy_int8),
        ):
            if share is not None:
                rows.append((name, f"{share:.1%}"))
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
    labels: NDArray[np.int64],
) -> Parity:
    """Compare the files below ``root`` with what they were made from.

    Parameters
    ----------
    default_level : int
        The level that the bundle recommends.
    pictures : uint8 array (N, H, W, 3)
    labels : int64 array (N,)
        Indices among the head's classes, −1 where unknown.
    """
    clean = _answers(root, pictures)
    levels = tuple(
        _measure_level(system, frozen, root, level, pictures, labels, clean)
        for level in range(frozen.levels)
    )
    return Parity(len(pictures), _accuracy(clean, labels), default_level, levels)


def _measure_level(
    system: System,
    frozen: Frozen,
    root: Path,
    level: int,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    clean: NDArray[np.int64],
) -> LevelParity:
    frames, stem = as_int8(pictures), f"device/encoder-{nest.chain(level)}"
    reference = frozen.latents(level, pictures)
    floating = np.concatenate([_float_latents(system, level, part) for part in _parts(pictures)])
    decoder, levels = root / "gateway/decoder.onnx", np.full(reference.shape[:2], level)
    decoded = run_onnx(decoder, reference, levels)
    ours = _answers(root, decoded)
    theirs = _answers(root, run_onnx(decoder, floating, levels))
    error = np.mean((decoded.astype(np.float64) - pictures) ** 2)
    return LevelParity(
        level=level,
        onnxruntime=_against(run_onnx(root / f"{stem}.onnx", frames), level, reference),
        litert=_against(run_tflite(root / f"{stem}.tflite", frames), level, reference),
        float_encoder=_against(floating, 0, reference),
        same_answer=float(np.mean(ours == theirs)),
        agreement_float=float(np.mean(theirs == clean)),
        agreement_int8=float(np.mean(ours == clean)),
        accuracy_float=_accuracy(theirs, labels),
        accuracy_int8=_accuracy(ours, labels),
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


def _answers(root: Path, pictures: NDArray[np.generic]) -> NDArray[np.int64]:
    best: NDArray[np.int64] = run_onnx(root / "gateway/head.onnx", pictures).argmax(axis=1)
    return best


def _against(found: NDArray[np.int8], level: int, reference: NDArray[np.int8]) -> Against:
    gap = np.abs(nest.coarsen(found, level // 2).astype(np.int32) - reference)
    return Against(float(np.mean(gap > 0)), int(gap.max()))


def _accuracy(answers: NDArray[np.int64], labels: NDArray[np.int64]) -> float | None:
    known = labels >= 0
    return float(np.mean(answers[known] == labels[known])) if known.any() else None


def packet_bytes(latents: NDArray[np.int8], frozen: Frozen, level: int) -> float:
    """Mean bytes of the packets that carry these latents, headers included."""
    sizes = [len(frozen.stream(latent, level)) for latent in latents]
    return HEADER_BYTES + float(np.mean(sizes))
