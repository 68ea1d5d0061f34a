"""A process that decodes: ``python -m tactic_gateway.worker``, started by `process`.

What strangers sent is decoded here and nowhere else, so that a frame which hangs, crashes or
swallows memory costs this process and not the gateway. It takes frames from standard input,
gives verdicts to standard output, and ends when its input ends or its gateway dies.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError, TacticError
from tactic_gateway import messages
from tactic_gateway.messages import OUT_OF_MEMORY, Frame, Setup
from tactic_gateway.pipeline import Pipeline
from tactic_gateway.pipes import Channel
from tactic_gateway.results import Verdict

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Work until there is no gateway; return the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # A service manager signals the whole group: the gateway says when this process ends.
        signal.signal(number, signal.SIG_IGN)
    channel = Channel(sys.stdin.fileno(), os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints says nothing false
    try:
        return _work(channel, messages.unpack_setup(channel.receive()))
    except EOFError:
        return 0
    except MemoryError:
        return OUT_OF_MEMORY


def _work(channel: Channel, setup: Setup) -> int:
    _confine(setup)
    try:
        pipelines = open_pipelines(setup)
    except TacticError as fault:
        channel.send({"fault": str(fault)})
        return fault.exit_code
    channel.send({"ready": True})
    while True:
        frames = messages.unpack_frames(channel.receive())
        channel.send(*messages.pack_verdicts(process(pipelines, frames)))


def open_pipelines(setup: Setup) -> dict[int, Pipeline]:
    """Load every bundle.

    Raises
    ------
    BundleError
        One cannot be used, or is no more what the gateway trusted.
    """
    pipelines = {}
    for path, digest in setup.bundles:
        bundle = Bundle.open(Path(path))
        if bundle.digest != digest:
            raise BundleError(f"{path}: changed since the gateway opened it; start it again")
        pipelines[bundle.codec.wire_id] = Pipeline(bundle, setup.threads, setup.top)
    return pipelines


def process(pipelines: Mapping[int, Pipeline], frames: list[Frame]) -> list[Verdict]:
    """Decode frames of any bundles; the verdicts come in the order of the frames."""
    verdicts: dict[int, Verdict] = {}
    for wire in sorted({frame.bundle for frame in frames}):
        places = [place for place, frame in enumerate(frames) if frame.bundle == wire]
        of_bundle = pipelines[wire].process([frames[place].raws for place in places])
        verdicts |= dict(zip(places, of_bundle, strict=True))
    return [verdicts[place] for place in range(len(frames))]


def _confine(setup: Setup) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (setup.memory_bytes, setup.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != setup.parent:  # it died before the line above
        raise EOFError


if __name__ == "__main__":
    sys.exit(main())
