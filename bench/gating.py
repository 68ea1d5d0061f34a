"""Change gating on clips of fixed cameras: ``python bench/gating.py [--json] [--limit N]``.

Every frame is coded, decoded and answered once; then the node's gate is run over the latents at
several thresholds. Where a frame was not sent, the answer on the last one that was stands for it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from coder import about
from numpy.typing import NDArray

from tactic_codec.bundle import Bundle
from tactic_codec.packet import HEADER_BYTES
from tactic_device import encoders
from tactic_device.coder import Coder
from tactic_device.gate import Gate
from tactic_device.sources import Shot
from tactic_gateway.decoder import Decoder
from tactic_gateway.task import Classification, open_task

S = 1_000_000_000
THRESHOLDS = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0)
SURE = (0.0, 0.3, 0.5)
HEARTBEAT_NS = 60 * S
UNSURE = -1

Row = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip, coded and answered frame by frame."""

    name: str
    fps: float
    latents: list[NDArray[np.int8]]
    sizes: NDArray[np.int64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]


def measure(path: Path, bundle: Bundle, limit: int) -> Clip:
    """Send every frame."""
    level = bundle.manifest.default_level
    coder = Coder(bundle, encoders.choose(bundle, level, "auto", 1).encoder, 0, level)
    decoder, task = Decoder(bundle, 1), open_task(bundle, bundle.manifest.heads[0], 1, 1)
    video = cv2.VideoCapture(str(path))
    latents, facts = list[NDArray[np.int8]](), []
    while (read := video.read())[0] and (not limit or len(latents) < limit):
        shot = Shot(np.ascontiguousarray(read[1][:, :, ::-1]), 0)
        latents.append(coder.latent(shot))
        packet = coder.code(latents[-1], shot, level, None)
        (answer,) = task.answers(decoder.pictures([decoder.latent([packet])]))
        assert isinstance(answer, Classification), "the bench is about one answer a frame"
        best = answer.classes[0]
        facts.append((HEADER_BYTES + len(packet.payload), best.index, best.score))
        if len(latents) % 200 == 0:
            print(f"{path.stem}: {len(latents)} frames", flush=True)
    sizes, classes, scores = map(np.array, zip(*facts, strict=True))
    return Clip(path.stem, video.get(cv2.CAP_PROP_FPS), latents, sizes, classes, scores)


def gated(clip: Clip, threshold: float) -> NDArray[np.int64]:
    """Numbers of the frames that the gate lets through."""
    gate, sent = Gate(threshold, HEARTBEAT_NS), []
    for number, latent in enumerate(clip.latents):
        now_ns = int(number / clip.fps * S)
        if gate.opens(latent, now_ns):
            gate.note(latent, now_ns)
            sent.append(number)
    return np.array(sent)


def figures(clip: Clip, threshold: float, sure: float) -> Row:
    """Bytes saved, agreement, and how many of the changes were sent."""
    sent = gated(clip, threshold)
    answers = np.where(clip.scores >= sure, clip.classes, UNSURE)
    frames = np.arange(len(answers))
    held = answers[sent[np.searchsorted(sent, frames, "right") - 1]]
    changes = np.flatnonzero(answers[1:] != answers[:-1]) + 1
    return {
        "clip": clip.name,
        "sure": sure,
        "threshold": threshold,
        "frames": len(answers),
        "sent": len(sent),
        "fewer_bytes": round(clip.sizes.sum() / clip.sizes[sent].sum(), 3),
        "bytes": int(clip.sizes.sum()),
        "bytes_sent": int(clip.sizes[sent].sum()),
        "agree": int((held == answers).sum()),
        "changes": len(changes),
        "changes_sent": int(np.isin(changes, sent).sum()),
    }


def together(rows: list[Row]) -> Row:
    """All clips as one camera's day."""
    summed = ("frames", "sent", "bytes", "bytes_sent", "agree", "changes", "changes_sent")
    total: Row = {name: sum(float(row[name]) for row in rows) for name in summed}
    ratio = round(float(total["bytes"]) / float(total["bytes_sent"]), 3)
    first = rows[0]
    same = {"sure": first["sure"], "threshold": first["threshold"]}
    return {"clip": "together", **same, **total, "fewer_bytes": ratio}


def show(row: Row) -> str:
    """One line of the table."""
    agree = float(row["agree"]) / float(row["frames"])
    caught = float(row["changes_sent"]) / max(1.0, float(row["changes"]))
    return (
        f"{row['clip']:28} score ≥ {row['sure']}  threshold {row['threshold']:4}  "
        f"{row['fewer_bytes']:5.2f} × fewer bytes  agrees {agree:6.1%}  "
        f"{row['changes']:4.0f} changes, sent {caught:4.0%}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/photo1000"))
    parser.add_argument("--limit", type=int, default=0, help="frames of each clip; 0: all")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    archive = Path(os.environ.get("TACTIC_DATA", "../shared/data")) / "camera_clips.zip"
    bundle = Bundle.open(arguments.bundle)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as file:
        file.extractall(folder)
        paths = sorted(Path(folder).rglob("*.mp4"))
        clips = [measure(path, bundle, arguments.limit) for path in paths]
    rows = []
    for sure in SURE:
        for threshold in THRESHOLDS:
            each = [figures(clip, threshold, sure) for clip in clips]
            rows += [*each, together(each)]
    if arguments.json:
        print(json.dumps({"about": about(), "bundle": bundle.codec.id, "rows": rows}, indent=1))
        return
    print(about())
    print("\n".join(map(show, rows)))


if __name__ == "__main__":
    main()
