"""Traces for the simulator: photos through every codec, as `tactic eval` does it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tactic.evaluate import about, codec, rivals
from tactic.evaluate.errors import EvaluationError
from tactic.evaluate.measure import Rows, measure
from tactic.evaluate.pictures import Album, open_album
from tactic.evaluate.setting import Setting as Measured
from tactic_codec.bundle import Bundle
from tactic_codec.packet import HEADER_BYTES
from tactic_gateway.task import Task, open_task
from tactic_link.traces import MOST_PHOTOS, Setting, Traces, answer_only, with_beginnings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured.

    Attributes
    ----------
    bundle : Path
    photos : str
        As for `tactic eval`.
    match : str
    limit : int or None
    against : sequence of str
    """

    bundle: Path
    photos: str
    match: str
    limit: int | None
    against: Sequence[str]

    def key(self) -> str:
        """A name for the traces: the same for the same codec, head, photos and rivals.

        Raises
        ------
        BundleError
            The bundle is missing or was changed.
        """
        bundle = Bundle.open(self.bundle)
        said = [bundle.digest, self.photos, self.match, self.limit, sorted(self.against)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


class Measuring:
    """Everything that is needed, opened and checked before the long work begins.

    Parameters
    ----------
    wanted : Wanted

    Raises
    ------
    TacticError
        The bundle, its head, the photos or a rival are missing or unfit.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._bundle = Bundle.open(wanted.bundle)
        self._head = _head(self._bundle)
        self._settings = [*codec.settings(self._bundle), *rivals.settings(wanted.against)]
        self._album = _album(wanted, self._bundle, self._head)

    @property
    def steps(self) -> int:
        """Photos times settings."""
        return len(self._album.items) * len(self._settings)

    def run(self, done: Callable[[int], None]) -> Traces:
        """Measure; ``done`` is told how many steps are behind."""
        rows = measure(self._album, self._settings, self._head.classes, done)
        measured = [
            _setting(setting, rows, number) for number, setting in enumerate(self._settings)
        ]
        found = with_beginnings([*measured, answer_only(rows.clean_right)])
        return Traces(found, rows.clean_right, self._about())

    def _about(self) -> dict[str, Any]:
        return {
            "bundle": self._bundle.manifest.name,
            "bundle_id": self._bundle.codec.id,
            "photos": self._wanted.photos,
            "match": self._wanted.match,
            "head": "frozen",
            "machine": about.machine(),
            "commit": about.commit(),
            "date": about.date(),
        }


def _setting(setting: Measured, rows: Rows, number: int) -> Setting:
    # A file of another codec travels in a packet, too.
    header = 0 if setting.codec == codec.NAME else HEADER_BYTES
    sizes = rows.bytes[number].astype(np.int64) + header
    return Setting(setting.codec, dict(setting.knobs), sizes, rows.right[number])


def _head(bundle: Bundle) -> Task:
    if not bundle.manifest.heads:
        raise EvaluationError(f"{bundle.path}: a bundle without a head decides nothing; export one")
    return open_task(bundle, bundle.manifest.heads[0], threads=1, top=1)


def _album(wanted: Wanted, bundle: Bundle, head: Task) -> Album:
    limit = min(wanted.limit or MOST_PHOTOS, MOST_PHOTOS)
    stride = bundle.codec.stride
    album = open_album(wanted.photos, wanted.match, limit, stride, head.labels, head.task)
    album.check()
    return album
