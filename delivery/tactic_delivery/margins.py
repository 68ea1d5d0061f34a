"""How far a frame's answer is from becoming another one, and when a node has to know.

A node with change gating cannot see answers. What it is told of the last one says how much has to
change before a frame is worth its bytes: little where the answer is about to turn, much where it
is clear. Two state machines' halves use this: the gateway tells, the node's gate listens.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from tactic_codec.types import FrameKey

#: margins are told in octaves between these: nearer or farther makes no difference to a gate
LEAST, MOST = 0.05, 1.6
#: what has been told is said again after so long, should it have been lost
REPEAT_NS = 60_000_000_000
#: and holds for so long
HOLDS_NS = 3 * REPEAT_NS
MOST_NODES = 10_000


def margin(scores: Sequence[float], limit: float) -> float:
    """How far an answer is from another one, as the logarithm of a ratio of scores.

    Parameters
    ----------
    scores : sequence of float
        Of the best classes, 0 … 1, falling; one or more.
    limit : float
        An answer whose best class has a lower score counts as none; 0: every answer counts.

    Returns
    -------
    float
        0 or more.
    """
    best = max(scores[0], 1e-9)
    # The second class has no more than what the first one leaves.
    second = scores[1] if len(scores) > 1 else 1.0 - best
    to_second = max(0.0, math.log(best / max(second, 1e-9)))
    if not limit:
        return to_second
    to_limit = math.log(best / limit)
    return min(to_limit, to_second) if to_limit >= 0.0 else -to_limit


def octave(margin: float) -> float:
    """Round a margin, so that a node hears of it when it has changed a good deal only."""
    steps = round(math.log2(min(max(margin, LEAST), MOST) / LEAST))
    return float(LEAST * 2**steps)


@dataclass(slots=True)
class _Told:
    boot: int
    seq: int
    octave: float
    at_ns: int


class Margins:
    """What each node was told last; bounded, and empty after a restart."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, _Told] = OrderedDict()

    def answered(self, key: FrameKey, margin: float, now_ns: int) -> float | None:
        """Take note of an answer.

        Parameters
        ----------
        key : FrameKey
        margin : float
        now_ns : int

        Returns
        -------
        float or None
            What to tell the node; None where it knows, or where the frame is an old one.
        """
        found, known = octave(margin), self._told.get(key.node)
        if known and known.boot == key.boot:
            if key.seq < known.seq:
                return None
            known.seq = key.seq
            if known.octave == found and now_ns - known.at_ns < REPEAT_NS:
                return None
        self._told[key.node] = _Told(key.boot, key.seq, found, now_ns)
        self._told.move_to_end(key.node)
        if len(self._told) > MOST_NODES:
            self._told.popitem(last=False)
        return found
