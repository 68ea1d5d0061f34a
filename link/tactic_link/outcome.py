"""What a simulation found, and the recorder that finds it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tactic_link.delays import Delays
from tactic_link.traces import Setting
from tactic_link.windows import S, Window

#: moments of a simulation at which it is looked at
STEPS = 240

Floats = NDArray[np.float64]


@dataclass(slots=True)
class InContact:
    """What one contact brought.

    Attributes
    ----------
    start_s, seconds : float
    frames : int
    correct : float
        Decisions.
    bytes : int
        Of packets.
    """

    start_s: float
    seconds: float
    frames: int = 0
    correct: float = 0.0
    bytes: int = 0


@dataclass(slots=True)
class Outcome:
    """One setting over one link for one seed.

    Attributes
    ----------
    seconds : float
    captured, frames, alarms : int
        Frames of the nodes, those that the gateway stored in time, and the alarms among these.
    correct : float
        Correct decisions among them; for pixels, the sum of the shares.
    packet_bytes : int
        Of the frames that were stored.
    bytes_up, bytes_down : int
        On air, with every header and what was sent again.
    messages, sessions : int
    cost_usd : float or None
        None where the preset knows no price.
    energy_j : float
    sent_again, waiting : int
        Packets sent more than once; frames that still waited at the end.
    dropped : Counter of str
        Frames given up, by reason.
    delays : Delays
        From capture to the gateway's store.
    by_photo : float64 array (2, N)
        For each photo, how often it was stored, and the correct decisions on it.
    contacts : list of InContact
    steps : float64 array (4, STEPS + 1)
        Seconds, frames stored by then, correct decisions by then, frames that waited then.
    """

    seconds: float
    captured: int
    frames: int
    alarms: int
    correct: float
    packet_bytes: int
    bytes_up: int
    bytes_down: int
    messages: int
    sessions: int
    cost_usd: float | None
    energy_j: float
    sent_again: int
    waiting: int
    dropped: Counter[str]
    delays: Delays
    by_photo: Floats
    contacts: list[InContact]
    steps: Floats


@dataclass(slots=True)
class Recorder:
    """Takes note of every frame that the gateway stores.

    Parameters
    ----------
    settings : sequence of Setting
        That of each level, of the same photos.
    windows : sequence of Window
    """

    settings: Sequence[Setting]
    windows: Sequence[Window]
    frames: int = 0
    alarms: int = 0
    correct: float = 0.0
    packet_bytes: int = 0
    delays: Delays = field(default_factory=Delays)
    contacts: list[InContact] = field(init=False)
    by_photo: Floats = field(init=False)
    _starts: list[int] = field(init=False)
    _steps: list[tuple[float, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open an account for every photo and every contact."""
        self.by_photo = np.zeros((2, len(self.settings[0].right)))
        self._starts = [window.start_ns for window in self.windows]
        self.contacts = [InContact(w.start_ns / S, w.seconds) for w in self.windows]

    def store(
        self, photo: int, level: int, size_bytes: int, share: float, taken_ns: int, now_ns: int
    ) -> None:
        """Note a frame.

        Parameters
        ----------
        photo, level : int
        size_bytes : int
            Of its packet.
        share : float
            How much of the stream arrived, 0 … 1.
        taken_ns, now_ns : int
        """
        worth = self.settings[level].worth(photo, share)
        self.frames += 1
        self.correct += worth
        self.packet_bytes += size_bytes
        self.by_photo[0, photo] += 1
        self.by_photo[1, photo] += worth
        self.delays.add((now_ns - taken_ns) / S)
        place = bisect_right(self._starts, now_ns) - 1
        if place >= 0:
            contact = self.contacts[place]
            contact.frames += 1
            contact.correct += worth
            contact.bytes += size_bytes

    def look(self, now_ns: int, waiting: int) -> None:
        """Note how things stand."""
        self._steps.append((now_ns / S, self.frames, self.correct, waiting))

    @property
    def steps(self) -> Floats:
        """See `Outcome.steps`."""
        return np.array(self._steps).T
