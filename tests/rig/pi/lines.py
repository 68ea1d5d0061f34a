"""What has to be the same on a Pi as on this machine, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MOST_LATENTS = 2e-5
MOST_PIXEL = 1

Arrays = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement: what was compared, what was found, whether it holds."""

    board: str
    what: str
    found: str
    good: bool

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.board:4}  {self.what:34} {self.found:58} {'ok' if self.good else 'FAILS'}"


def latents(board: str, runtime: str, here: Arrays, pi: Arrays) -> list[Line]:
    """Latents of one runtime, and what went into the encoder."""
    names = [name for name in here if name.startswith("latent-")]
    off = np.concatenate(
        [np.abs(pi[n].astype(np.int16) - here[n].astype(np.int16)).ravel() for n in names]
    )
    share, most = float((off > 0).mean()), int(off.max())
    found = f"{np.count_nonzero(off)} of {off.size} differ ({share:.4%}), by {most}"
    pixels = [name for name in here if name.startswith("pixels-")]
    same = sum(int((here[n] == pi[n]).sum()) for n in pixels)
    total = sum(here[n].size for n in pixels)
    version = str(pi["version"])
    good = share <= MOST_LATENTS and most <= 1 and version == str(here["version"])
    return [
        Line(
            board, f"latents, {runtime} {version}", found, good and str(pi["machine"]) == "aarch64"
        ),
        Line(
            board, f"fitted pixels, {runtime}", f"{same} of {total} pictures equal", same == total
        ),
    ]


def codec(board: str, here: Arrays, pi: Arrays) -> list[Line]:
    """Packets, symbols and pixels, of the same latents and of the same packets."""
    equal = np.array_equal(here["packets"], pi["packets"])
    symbols = np.array_equal(here["symbols"], pi["symbols"])
    symbols = symbols and np.array_equal(here["levels"], pi["levels"])
    off = np.abs(here["pictures"].astype(np.int16) - pi["pictures"].astype(np.int16))
    share = float((off > 0).mean())
    both = str(pi["backend"]) == "c" and float(pi["twin"]) == 1.0
    count = len(here["sizes"])
    return [
        Line(
            board, "coder in C, and its twin", f"backend {pi['backend']}, twin {pi['twin']}", both
        ),
        Line(board, "packets of the same latents", f"{count} packets, equal: {equal}", equal),
        Line(
            board,
            "symbols of the same packets",
            f"{here['symbols'].size}, equal: {symbols}",
            symbols,
        ),
        Line(
            board,
            "pixels of the same packets",
            f"{share:.3%} differ, by at most {off.max()} of 255",
            int(off.max()) <= MOST_PIXEL,
        ),
    ]
