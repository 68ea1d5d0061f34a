"""Many frames through a whole node, and what it takes of memory and descriptors meanwhile.

``make soak`` runs a million: a stand-in for a camera in its own process, the encoder and outbox of
a node, and a gateway beside it that loses nothing. ``ARGS="--frames 20000"`` runs fewer.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np

from rig.tiny import write_tiny_bundle
from tactic_codec.config import load
from tactic_codec.packet import unpack
from tactic_delivery.receiver import Receiver
from tactic_device import agent
from tactic_device.config import DeviceConfig
from tactic_device.dispatch import Dispatch
from tactic_device.health import boot_clock_ns
from tactic_device.log import Log
from tactic_device.uplink import Uplink

WARM_UP = 0.2
HOUR_S = 3600

#: pictures of one grey, as fast as they are taken
CAMERA = """
import time
import numpy as np

class Picamera2:
    count = 0
    def create_video_configuration(self, main):
        return main
    def configure(self, wanted):
        pass
    def start(self):
        pass
    def capture_array(self, name):
        self.count += 1
        time.sleep(0.001)
        return np.full((48, 64, 3), self.count % 256, np.uint8)
"""

CONFIG = """[node]
site = "yard"
node = "cam1"
[bundle]
path = "bundle"
unsigned = true
[source]
kind = "picamera2"
limit = {frames}
[outbox]
path = "outbox"
ram_path = "ram"
[sending]
start_within_s = 0.0
[encoder]
runtime = "onnxruntime"
"""


class Network:
    """Takes the place of `Uplink`; samples the process at every share of the frames."""

    def __init__(self, every: int) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: list[tuple[int, float, float, int]] = []
        self._every = every
        self._frames = 0
        self._began_s = time.monotonic()

    def __call__(self, _config: object, _topics: object, dispatch: Dispatch, **_: object) -> Uplink:
        self._dispatch = dispatch
        self._receiver = Receiver(dispatch.boot)
        return cast(Uplink, self)

    def start(self) -> None:
        self._dispatch.on_connection(True)
        self._dispatch.on_gateway(True, boot_clock_ns())

    def wake(self) -> None:
        self._frames += 1
        packets, _ = self._dispatch.poll(boot_clock_ns())
        for outgoing in packets:
            self._receiver.record(unpack(outgoing.data))
        self._dispatch.on_ack(self._receiver.ack(16), boot_clock_ns())
        self._dispatch.tend(boot_clock_ns())
        if self._frames % self._every == 0:
            self._sample()

    def check(self) -> None: ...
    def stop(self) -> None: ...
    def report(self) -> None: ...

    def _sample(self) -> None:
        gc.collect()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        seconds = time.monotonic() - self._began_s
        self.samples.append((self._frames, seconds, _resident_mb(), descriptors))


def soak(frames: int, samples: int = 50) -> dict[str, Any]:
    """Run so many frames; return slopes after the warm-up, and the ledger."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "picamera2.py").write_text(CAMERA)
        write_tiny_bundle(folder / "bundle")
        (folder / "device.toml").write_text(CONFIG.format(frames=frames))
        sys.path.insert(0, name)
        network = Network(max(1, frames // samples))
        with (folder / "log").open("w") as log:
            config = load(folder / "device.toml", DeviceConfig)
            agent.run(config, threading.Event(), Log(log), network)
        sys.path.remove(name)
        events = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    return _judge(network.samples) | {"ledger": events[-1]["ledger"]}


def _judge(samples: list[tuple[int, float, float, int]]) -> dict[str, Any]:
    warm = samples[int(WARM_UP * len(samples)) :]
    frames, seconds, resident, descriptors = (
        np.array(column) for column in zip(*warm, strict=True)
    )
    per_frame = float(np.polyfit(frames, resident, 1)[0])
    return {
        "frames": int(frames[-1]),
        "seconds": round(float(seconds[-1]), 1),
        "frames_a_second": round(float(frames[-1] / seconds[-1]), 1),
        "resident_mb": [round(float(x), 2) for x in (resident[0], resident.max(), resident[-1])],
        "mb_a_million_frames": round(1e6 * per_frame, 3),
        "mb_an_hour": round(float(np.polyfit(seconds, resident, 1)[0]) * HOUR_S, 3),
        "mb_an_hour_at_1_fps": round(HOUR_S * per_frame, 6),
        "descriptors": sorted({int(d) for d in descriptors}),
    }


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    print(json.dumps(soak(parser.parse_args().frames), indent=1))
