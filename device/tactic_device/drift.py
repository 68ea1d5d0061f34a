"""Drift: whether the camera's pictures still look like those that the codec knows.

It looks at the latents that the encoder makes anyway, and needs no labels. An alarm says that
bytes and answers may be worse than they were: a dirty lens, another scene, fog, a loose camera.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from tactic_codec import nest, reference
from tactic_codec.bundle import Bundle
from tactic_codec.durable import replace_file
from tactic_codec.reference import WINDOW, Reference
from tactic_device.alarms import Alarms
from tactic_device.coder import Coder
from tactic_device.config import DriftSettings
from tactic_device.log import Log

ALARM = "drift"
FILE = "drift.json"

#: mean bits of a window, in standard errors of such a mean
_MOST_ERRORS = 8.0
_LOOK_EVERY = 5
_REMEDY = (
    "look at the camera's pictures: clean or straighten it; if the scene is new for good, train "
    "on it, or remove {file} to learn it"
)


class _Kept(BaseModel):
    """A reference that this node has learnt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str
    reference: Reference


@dataclass(frozen=True, slots=True)
class _Known:
    source: str
    shares: NDArray[np.float64]
    bits: float
    bits_limit: float
    limit: float


class Drift:
    """Compares windows of frames with a reference.

    Parameters
    ----------
    settings : DriftSettings
    folder : Path
        Where a reference that was learnt is kept.
    alarms : Alarms
    log : Log
    """

    def __init__(self, settings: DriftSettings, folder: Path, alarms: Alarms, log: Log) -> None:
        self._settings = settings
        self._path = folder / FILE
        self._alarms = alarms
        self._log = log
        self._encoder: str | None = None
        self._known: _Known | None = None
        self._learning: list[NDArray[np.float32]] = []
        self._window: deque[NDArray[np.float64]] = deque(maxlen=WINDOW)
        self._frames = 0
        self._distance: float | None = None
        self._bits: float | None = None

    def look(self, coder: Coder, latent: NDArray[np.int8]) -> None:
        """Take the latent of a frame into account: int8 (C, h, w)."""
        if self._settings.reference == "none":
            return
        if (encoder := _name(coder)) != self._encoder:
            self._begin(coder, encoder)
        histogram = reference.count(latent)
        if self._known is None:
            self._learn(histogram)
            return
        self._window.append(histogram)
        self._frames += 1
        if len(self._window) == WINDOW and self._frames % _LOOK_EVERY == 0:
            self._judge(self._known)

    def facts(self) -> dict[str, object]:
        """For the health message."""
        known = self._known
        if known is None:
            source = "none" if self._settings.reference == "none" else "learning"
            return {"reference": source, "frames": len(self._learning)}
        return {
            "reference": known.source,
            "distance": self._distance and round(self._distance, 5),
            "limit": round(known.limit, 5),
            "bits": self._bits and round(self._bits, 4),
            "bits_reference": round(known.bits, 4),
        }

    def _begin(self, coder: Coder, encoder: str) -> None:
        self._encoder = encoder
        self._known = None
        self._learning.clear()
        self._window.clear()
        self._distance = self._bits = None
        self._alarms.set(ALARM, False)
        chain = nest.chain(coder.level)
        if self._settings.reference == "bundle" and (found := _of_bundle(coder.bundle, chain)):
            self._use(found, "bundle")
        elif kept := self._kept(encoder):
            self._use(kept, "learnt")
        else:
            self._log.info("drift_learning", frames=self._settings.learn_frames)

    def _use(self, found: Reference, source: str) -> None:
        self._known = _Known(
            source,
            found.shares(),
            found.bits,
            _MOST_ERRORS * max(found.bits_spread, 0.01 * found.bits) / WINDOW**0.5,
            found.distance * self._settings.factor,
        )
        self._log.info("drift_reference", source=source, limit=round(self._known.limit, 5))

    def _learn(self, histogram: NDArray[np.float64]) -> None:
        self._learning.append(histogram.astype(np.float32))
        if len(self._learning) < self._settings.learn_frames:
            return
        found = reference.measure(np.stack(self._learning).astype(np.float64))
        self._learning.clear()
        self._use(found, "learnt")
        assert self._encoder is not None, "set before the first frame is learnt from"
        kept = _Kept(encoder=self._encoder, reference=found)
        try:
            replace_file(self._path, kept.model_dump_json().encode())
        except OSError as fault:  # the next start learns again
            self._log.warning("drift_not_kept", cause=f"{self._path}: {fault.strerror}")

    def _kept(self, encoder: str) -> Reference | None:
        try:
            kept = _Kept.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return None
        return kept.reference if kept.encoder == encoder else None

    def _judge(self, known: _Known) -> None:
        mean = np.mean(self._window, axis=0)
        self._distance = float(reference.distance(mean, known.shares))
        self._bits = float(reference.bits(mean, known.shares))
        worst = max(self._distance / known.limit, abs(self._bits - known.bits) / known.bits_limit)
        # Between half the limit and the limit it stays what it was, so that nothing flaps.
        on = worst > (0.5 if ALARM in self._alarms.names else 1.0)
        self._alarms.set(ALARM, on, **self.facts(), remedy=_REMEDY.format(file=self._path))


def _name(coder: Coder) -> str:
    """Which latents these are: encoder and size of the frames."""
    return f"{coder.bundle.codec.id}/{nest.chain(coder.level)}/{coder.geometry}"


def _of_bundle(bundle: Bundle, chain: int) -> Reference | None:
    references = bundle.references()
    return references.encoders[chain] if references else None
