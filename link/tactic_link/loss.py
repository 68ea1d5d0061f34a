"""Which datagrams are lost: at random, and in bursts."""

from __future__ import annotations

from random import Random

from tactic_link.preset import Burst, Direction


class Loss:
    """Random loss and Gilbert–Elliott bursts of one direction.

    Good and bad times follow each other and last exponentially distributed times, so the state
    depends on the clock and not on how much is sent (Gilbert 1960, Elliott 1963; their chain of
    bits in continuous time).

    Parameters
    ----------
    direction : Direction
    rng : random.Random
    """

    def __init__(self, direction: Direction, rng: Random) -> None:
        self._random = direction.loss.base if direction.loss else 0.0
        self._burst = direction.burst
        self._rng = rng
        self._bad = False
        self._until_ns = self._lasts(direction.burst) if direction.burst else 0

    def lost(self, now_ns: int) -> bool:
        """Draw whether what is sent at ``now_ns`` is lost; the time never goes back."""
        share = self._random
        if self._burst:
            while now_ns >= self._until_ns:
                self._bad = not self._bad
                self._until_ns += self._lasts(self._burst)
            if self._bad:
                share = 1.0 - (1.0 - share) * (1.0 - self._burst.loss.base)
        return share > 0.0 and self._rng.random() < share

    def _lasts(self, burst: Burst) -> int:
        mean_ns = (burst.bad if self._bad else burst.good).ns
        return 1 + int(self._rng.expovariate(1.0) * mean_ns)
