"""The simulator beside the emulator: the same link, once in virtual time, once under real daemons.

``python -m rig.emulator PRESET [--seconds 300] [--speed 1] [--after 0] [--json]``. A node, a
broker and a gateway as processes, with a tiny bundle, and `tactic link proxy` between node and
broker. The simulator gets the sizes of the packets that the node made, and the moment at which it
began.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rig.child import Child
from rig.tiny import SIDE_PX, write_tiny_bundle
from tactic.demo.broker import Broker, free_port
from tactic_codec.packet import TIME_UNIT_NS, unpack
from tactic_device.health import boot_clock_ns
from tactic_link import windows
from tactic_link.preset import open_preset
from tactic_link.scenario import Scenario, contacts_of
from tactic_link.simulator import simulate
from tactic_link.traces import Setting
from tactic_link.windows import S, Table, Window

PYTHON = (sys.executable, "-m")
PICTURES = 24
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs over which link, in seconds of the link; ``after`` so many the node starts."""

    preset: str
    seconds: float = 300.0
    speed: float = 1.0
    fps: float = 1.0
    after: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """Frames that arrived within the time, and how late."""

    frames: int
    delay_p50_s: float
    delay_p95_s: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Both, and what the emulator counted."""

    emulator: Found
    simulator: Found
    captured: int
    mqtt_bytes_per_frame: float
    tcp_ip_bytes_per_frame: float

    @property
    def good(self) -> bool:
        """Frames within 5 %, the median delay within 10 %."""
        real, virtual = self.emulator, self.simulator
        frames = abs(virtual.frames / max(1, real.frames) - 1.0) <= 0.05
        return frames and abs(virtual.delay_p50_s / max(1e-9, real.delay_p50_s) - 1.0) <= 0.10


def run(plan: Plan, folder: Path) -> Compared:
    """Let the daemons run, then simulate the same."""
    with ExitStack() as stack:
        link_ns, began_ns = _daemons(plan, folder, stack)
        offset_ns = int((began_ns - link_ns) * plan.speed)
        time.sleep(max(0.0, plan.seconds / plan.speed - (boot_clock_ns() - began_ns) / S))
        rows = _rows(folder)
        passed = _stop_link(stack, folder)
    end_ns = began_ns + plan.seconds / plan.speed * S
    frames = [r for r in rows if r[1] is not None and r[2] <= end_ns]
    delays_s = [plan.speed * (received - taken) / S for _, taken, received in frames if taken]
    sizes = np.array([size for size, _, _ in frames])
    return Compared(
        emulator=Found(len(frames), *_percentiles(delays_s)),
        simulator=_simulated(plan, sizes, offset_ns),
        captured=round(plan.seconds * plan.fps),
        mqtt_bytes_per_frame=(passed["bytes_up"] - sum(sizes)) / len(frames),
        tcp_ip_bytes_per_frame=(passed["on_air_up"] - passed["bytes_up"]) / len(frames),
    )


def _daemons(plan: Plan, folder: Path, stack: ExitStack) -> tuple[int, int]:
    """Start them; the boot clock when the link began, and when the node began to capture."""
    broker = stack.enter_context(Broker(folder))
    bundle = write_tiny_bundle(folder / "tiny")
    _write_pictures(folder / "pictures")
    port = free_port()
    (folder / "gateway.toml").write_text(
        f'[gateway]\nsite = "lab"\n[bundles]\npaths = ["{bundle}"]\nunsigned = true\n'
        f'[store]\npath = "gateway.db"\n[mqtt]\nport = {broker.port}\n'
    )
    (folder / "device.toml").write_text(
        f'[node]\nsite = "lab"\nnode = "cam1"\n[bundle]\npath = "{bundle}"\nunsigned = true\n'
        f'[source]\nkind = "folder"\npath = "pictures"\nfps = {plan.fps * plan.speed}\n'
        'loop = true\n[encoder]\nruntime = "onnxruntime"\n[outbox]\npath = "outbox"\n'
        f"[mqtt]\nport = {port}\n"
    )
    gateway = _child("gateway", ["tactic", "gateway", "run", "-c", "gateway.toml"], folder, stack)
    _wait(lambda: bool(gateway.events("mqtt_connected")))
    command = ["tactic", "link", "proxy", plan.preset, "--listen", f"127.0.0.1:{port}", "--json"]
    command += ["--broker", f"127.0.0.1:{broker.port}", "--speed", str(plan.speed)]
    link = _child("link", [*command, "--seed", str(plan.seed)], folder, stack)
    _wait(lambda: bool(link.events("listening")))
    link_ns = boot_clock_ns()
    time.sleep(plan.after / plan.speed)
    node = _child("device", ["tactic", "device", "run", "-c", "device.toml"], folder, stack)
    _wait(lambda: bool(node.events("started")))
    return link_ns, boot_clock_ns()


def _stop_link(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """End the daemons; what the link says that it has carried."""
    stack.close()
    last = (folder / "link.log").read_text().splitlines()[-1]
    found: dict[str, Any] = json.loads(last)
    return found


def _rows(folder: Path) -> list[tuple[int, int | None, float]]:
    """Size, capture and arrival, by the boot clock, of every frame in the gateway's store."""
    behind_ns = time.time_ns() - boot_clock_ns()
    with closing(sqlite3.connect(folder / "gateway.db", timeout=30)) as db:
        found = db.execute("SELECT raw, received_ns FROM packets WHERE kind = 0").fetchall()
    return [
        (len(raw), unpack(raw).captured * TIME_UNIT_NS, received_ns - behind_ns)
        for raw, received_ns in found
    ]


def _simulated(plan: Plan, sizes: Any, offset_ns: int) -> Found:
    preset = open_preset(plan.preset)
    end_ns = offset_ns + round(plan.seconds * S)
    contacts = windows.within(contacts_of(preset, end_ns / S)[0], end_ns)
    moved = [Window(max(0, w.start_ns - offset_ns), w.end_ns - offset_ns) for w in contacts]
    scenario = Scenario(
        preset, Table(w for w in moved if w.end_ns > 0), plan.seconds, nodes=1, fps=plan.fps
    )
    setting = Setting("tactic", {"level": 0, "share": 1.0}, sizes, np.ones(len(sizes)))
    outcome = simulate(scenario, setting, plan.seed)
    percentiles = [outcome.delays.percentile(share) or 0.0 for share in (0.5, 0.95)]
    return Found(outcome.frames, *percentiles)


def _percentiles(delays_s: list[float]) -> tuple[float, float]:
    low, high = np.percentile(delays_s or [0.0], (50, 95))
    return float(low), float(high)


def _write_pictures(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(PICTURES):
        pixels = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:02d}.png"), pixels)


def _child(name: str, command: list[str], folder: Path, stack: ExitStack) -> Child:
    child = Child([*PYTHON, *command], folder, name)
    stack.callback(child.end)
    return child


def _wait(condition: Any) -> None:
    deadline_s = time.monotonic() + _WAIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("a process did not start; see the logs")
        time.sleep(0.02)


def main() -> int:
    """Run one comparison; 1: they differ by more than they may."""
    parser = argparse.ArgumentParser(prog="rig.emulator", description=__doc__)
    parser.add_argument("preset")
    for name in ("seconds", "speed", "fps", "after"):
        parser.add_argument(f"--{name}", type=float, default=getattr(Plan(""), name))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = vars(parser.parse_args())
    as_json = given.pop("json")
    plan = Plan(**given)
    with tempfile.TemporaryDirectory() as folder:
        found = run(plan, Path(folder))
    if as_json:
        print(json.dumps({**asdict(plan), **asdict(found), "good": found.good}))
    else:
        print(f"{plan.preset}: {found.captured} captured\nemulator  {found.emulator}")
        print(f"simulator {found.simulator}\n{'good' if found.good else 'they differ'}")
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
