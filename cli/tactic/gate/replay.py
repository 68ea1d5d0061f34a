"""A clip once more, with the gate of the node and what the gateway would have told it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tactic.gate.clip import Clip
from tactic_codec.types import FrameKey
from tactic_delivery.margins import Margins, margin
from tactic_device.gate import Gate

S = 1_000_000_000
HEARTBEAT_NS = 60 * S
NO_ANSWER = -1


@dataclass(frozen=True, slots=True)
class Figures:
    """What a gate did; figures of several clips add up.

    Attributes
    ----------
    frames, sent : int
    told : int
        How often the node was told a margin.
    bytes_all, bytes_sent : int
        Of the packets of all frames, and of those that were sent.
    agree : int
        Frames for which the last answer that was sent is their own.
    changes, changes_sent : int
        Frames whose answer is not that of the frame before, and those of them that were sent.
    """

    frames: int = 0
    sent: int = 0
    told: int = 0
    bytes_all: int = 0
    bytes_sent: int = 0
    agree: int = 0
    changes: int = 0
    changes_sent: int = 0

    def __add__(self, other: Figures) -> Figures:
        """Take several clips as one camera's day."""
        names = self.__slots__
        return Figures(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def fewer(self) -> float:
        """How many times fewer bytes."""
        return self.bytes_all / self.bytes_sent

    @property
    def agreement(self) -> float:
        """Share of the frames with the right answer."""
        return self.agree / self.frames

    @property
    def caught(self) -> float:
        """Share of the changes that were sent; 1 where there are none."""
        return self.changes_sent / self.changes if self.changes else 1.0


def total(found: Iterable[Figures]) -> Figures:
    """Sum of several clips."""
    return sum(found, Figures())


def answers(clip: Clip, limit: float) -> NDArray[np.int64]:
    """Class of every frame, or `NO_ANSWER`."""
    return np.where(clip.scores[:, 0] >= limit, clip.classes, NO_ANSWER)


def replay(
    clip: Clip, threshold: float, limit: float, delay_s: float | None
) -> tuple[list[int], int]:
    """Numbers of the frames that a node sends, and how often it was told a margin.

    Parameters
    ----------
    clip : Clip
    threshold, limit : float
        Of the gate and of the gateway's ``[gating]``.
    delay_s : float or None
        From a frame's capture to the moment its node hears of the answer; None: never.
    """
    gate, margins = Gate(threshold, HEARTBEAT_NS), Margins()
    sent, told = list[int](), 0
    coming: deque[tuple[int, int]] = deque()
    for number, latent in enumerate(clip.latents):
        now_ns = int(number / clip.fps * S)
        while coming and coming[0][0] <= now_ns:
            at_ns, frame = coming.popleft()
            found = margin(clip.scores[frame].tolist(), limit)
            news = margins.answered(FrameKey("cam", 0, frame), found, at_ns)
            if news is not None:
                gate.told(news, at_ns)
                told += 1
        if gate.opens(latent, now_ns):
            gate.note(latent, now_ns)
            sent.append(number)
            if delay_s is not None:
                coming.append((now_ns + int(delay_s * S), number))
    return sent, told


def judge(clip: Clip, sent: list[int], told: int, limit: float) -> Figures:
    """Compare with the answers on every frame."""
    given, kept = answers(clip, limit), np.array(sent)
    frames = np.arange(len(clip))
    held = given[kept[np.searchsorted(kept, frames, "right") - 1]]
    changes = np.flatnonzero(given[1:] != given[:-1]) + 1
    return Figures(
        frames=len(clip),
        sent=len(sent),
        told=told,
        bytes_all=int(clip.sizes.sum()),
        bytes_sent=int(clip.sizes[kept].sum()),
        agree=int((held == given).sum()),
        changes=len(changes),
        changes_sent=int(np.isin(changes, kept).sum()),
    )


def bound(clip: Clip, limit: float) -> Figures:
    """What a gate would reach that knew every answer: it sends the changes, and heartbeats."""
    given = answers(clip, limit)
    step = max(1, int(HEARTBEAT_NS / S * clip.fps))
    changes = np.flatnonzero(given[1:] != given[:-1]) + 1
    sent = np.union1d(np.arange(0, len(clip), step), changes)
    return judge(clip, sent.tolist(), 0, limit)
