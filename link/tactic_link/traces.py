"""Traces: what every photo costs and is worth at every setting of every codec.

One file, made by `tactic link measure` (or by `simulate` itself) and read by any number of
simulations. It holds single photos, not averages, because a link cares about the large ones.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic_codec.packet import HEADER_BYTES
from tactic_link.errors import LinkError

Floats = NDArray[np.float64]

MOST_PHOTOS = 1 << 16
#: of a head on the node: which class it is, of 65,536 at most
ANSWER_BYTES = 2
_ARRAYS = ("packet_bytes", "right", "clean_right")
_NO_TRACES = (AttributeError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile)
_REMEDY = "make it again with tactic link measure"


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """One way to send a photo.

    Attributes
    ----------
    codec : str
        ``tactic``, ``jpeg``, ``webp``, ``avif`` or ``head`` (the answer of a head on the node).
    knobs : dict
        What distinguishes it from other settings of the codec.
    packet_bytes : int64 array (N,)
        Of the packet, with its 20 header bytes, for each photo.
    right : float64 array (N,)
        1 where the decision is correct, else 0; of pixels, the share that is right.
    beginnings : tuple of (float, float64 array (N,))
        What the first so much of the packet's stream is worth, rising; empty where a beginning
        is worth nothing.
    """

    codec: str
    knobs: dict[str, Any]
    packet_bytes: NDArray[np.int64]
    right: Floats
    beginnings: tuple[tuple[float, Floats], ...] = ()

    @property
    def name(self) -> str:
        """The setting in words."""
        if "level" in self.knobs:
            share = self.knobs["share"]
            return f"level {self.knobs['level']}" + ("" if share == 1 else f", first {share:.0%}")
        if "quality" in self.knobs:
            scale = self.knobs["scale"]
            return f"quality {self.knobs['quality']}" + ("" if scale == 1 else f", {scale:g}×")
        return "answer only"

    @property
    def accuracy(self) -> float:
        """Share of the photos whose decision is correct."""
        return float(self.right.mean())

    @property
    def mean_bytes(self) -> float:
        """Mean packet."""
        return float(self.packet_bytes.mean())

    def worth(self, photo: int, share: float) -> float:
        """What a photo is worth of which so much of the stream arrived."""
        if share >= 1.0:
            return float(self.right[photo])
        known = [right[photo] for least, right in self.beginnings if share >= least]
        return float(known[-1]) if known else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """Settings measured on the same photos.

    Attributes
    ----------
    settings : tuple of Setting
    clean_right : float64 array (N,)
        The head on the uncompressed photos.
    about : dict
        What was measured: bundle, photos, machine.
    """

    settings: tuple[Setting, ...]
    clean_right: Floats
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def photos(self) -> int:
        """How many."""
        return len(self.clean_right)

    @property
    def clean_accuracy(self) -> float:
        """Of the head on the uncompressed photos."""
        return float(self.clean_right.mean())


def write(path: Path, traces: Traces) -> None:
    """Write traces.

    Raises
    ------
    LinkError
        The file cannot be written.
    """
    rows = [{"codec": s.codec, "knobs": s.knobs} for s in traces.settings]
    text = json.dumps({"about": traces.about, "settings": rows})
    partial = path.with_suffix(".partial.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            partial,
            packet_bytes=np.stack([s.packet_bytes for s in traces.settings]).astype(np.int32),
            right=np.stack([s.right for s in traces.settings]).astype(np.float32),
            clean_right=traces.clean_right.astype(np.float32),
            text=np.frombuffer(text.encode(), np.uint8),
        )
        partial.replace(path)
    except OSError as fault:
        raise LinkError(f"{path}: {fault.strerror}; choose another file for the traces") from fault


def read(path: Path) -> Traces:
    """Read traces.

    Raises
    ------
    LinkError
        The file is missing or holds no traces.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            sizes, right, clean = (np.asarray(file[name]) for name in _ARRAYS)
            text = json.loads(bytes(file["text"]))
        return _traces(text, sizes.astype(np.int64), right.astype(np.float64), clean)
    except OSError as fault:
        raise LinkError(f"{path}: {fault.strerror or fault}; {_REMEDY}") from fault
    except _NO_TRACES as fault:
        raise LinkError(f"{path}: no traces ({fault}); {_REMEDY}") from fault


def _traces(
    text: dict[str, Any], sizes: NDArray[np.int64], right: Floats, clean: NDArray[Any]
) -> Traces:
    rows = text["settings"]
    photos = len(clean)
    fits = sizes.shape == right.shape == (len(rows), photos)
    if not fits or not 0 < photos <= MOST_PHOTOS:
        raise ValueError("its arrays do not fit each other")
    settings = [
        Setting(row["codec"], row["knobs"], *pair)
        for row, *pair in zip(rows, sizes, right, strict=True)
    ]
    found = with_beginnings(settings)
    return Traces(found, clean.astype(np.float64), text["about"])


def answer_only(clean_right: Floats) -> Setting:
    """What a head on the node sends, which sees the uncompressed photos; float64 (N,)."""
    size = np.full(len(clean_right), HEADER_BYTES + ANSWER_BYTES)
    return Setting("head", {"answer_bytes": ANSWER_BYTES}, size, clean_right)


def with_beginnings(settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """Tell whole streams what their beginnings are worth, as other settings measured it."""
    return tuple(_with_beginnings(setting, settings) for setting in settings)


def _with_beginnings(setting: Setting, others: Sequence[Setting]) -> Setting:
    share = setting.knobs.get("share")
    if share is None:
        return setting
    parts = sorted(
        (
            (other.knobs["share"] / share, other.right)
            for other in others
            if other.codec == setting.codec
            and other.knobs.get("level") == setting.knobs["level"]
            and other.knobs["share"] < share
        ),
        key=lambda part: part[0],
    )
    return Setting(setting.codec, setting.knobs, setting.packet_bytes, setting.right, tuple(parts))
