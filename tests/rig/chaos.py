"""Chaos: a node, a broker and a gateway are killed again and again, connections are cut.

``python -m rig.chaos [--json]``, or ``make chaos``. Real processes, a real mosquitto with its
default settings, and a tiny bundle, so that delivery sets the pace. At the end every frame that
the node captured must be stored once and answered once, and the node's ledger must say the same.
The control (`rig.forgetful`) goes through milder weather and loses frames, or the test proves
nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import cv2
import numpy as np

from rig import forgetful
from rig.child import Child
from rig.proxy import Proxy
from rig.tiny import SIDE_PX, write_tiny_bundle
from tactic.demo.broker import free_port, mosquitto

PYTHON = (sys.executable, "-m")
FPS = 200.0
PICTURES = 24
SHARED_MEMORY = "/dev/shm"
_CALM_S = 60.0
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """How much, and how often each is killed."""

    frames: int = 10_000
    device: int = 100
    broker: int = 20
    gateway: int = 20
    cuts: int = 60
    seconds: float = 170.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the frames; the fields of the JSON object."""

    captured: int
    stored: int
    dropped: int
    pending: int
    lost: int
    duplicates: int
    resent_share: float
    kills: int
    seconds: float
    ledger_exact: bool
    control_lost: int | None = None

    @property
    def good(self) -> bool:
        """Whether the promises held, and the control broke them."""
        kept = self.ledger_exact and self.lost == self.duplicates == self.pending == 0
        thrifty = self.resent_share <= 0.15 and self.seconds <= 300
        return kept and thrifty and self.control_lost != 0


class Site:
    """Broker, gateway and node in one folder, each behind what can be cut."""

    def __init__(self, folder: Path, plan: Plan, stack: ExitStack) -> None:
        self.folder = folder
        self.plan = plan
        self.rng = Random(plan.seed)
        port = free_port()
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        self.uplink = stack.enter_context(Proxy(port, self.rng))
        self.downlink = stack.enter_context(Proxy(port, self.rng))
        self.broker = self._child("broker", [mosquitto() or "", "-c", "mosquitto.conf"], stack)
        bundle = write_tiny_bundle(folder / "tiny")
        _write_pictures(folder / "pictures")
        (folder / "gateway.toml").write_text(
            '[gateway]\nsite = "lab"\n[bundles]\n'
            f'paths = ["{bundle}"]\nunsigned = true\n[store]\npath = "gateway.db"\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {self.downlink.port}\n'
        )
        self.bundle = bundle
        self.memory = Path(tempfile.mkdtemp(prefix="tactic-chaos-", dir=SHARED_MEMORY))
        stack.callback(shutil.rmtree, self.memory, ignore_errors=True)
        command = [*PYTHON, "tactic", "gateway", "run", "--config", "gateway.toml"]
        self.gateway = self._child("gateway", command, stack)
        _wait(lambda: bool(self.gateway.events("mqtt_connected")))

    def start_node(self, stack: ExitStack, limit: int) -> Child:
        """``tactic device run``; 0: without a limit."""
        (self.folder / "device.toml").write_text(
            '[node]\nsite = "lab"\nnode = "cam1"\n'
            f'[bundle]\npath = "{self.bundle}"\nunsigned = true\n'
            f'[source]\nkind = "folder"\npath = "pictures"\nfps = {FPS}\nloop = true\n'
            f'limit = {limit}\ndrain_s = {_CALM_S}\n[encoder]\nruntime = "onnxruntime"\n'
            f'[outbox]\npath = "outbox"\nram_path = "{self.memory}/outbox"\n'
            # So that the node is killed while it sends, not while it waits for its turn.
            "[sending]\nstart_within_s = 0.1\n"
            f'[mqtt]\nhost = "127.0.0.1"\nport = {self.uplink.port}\n'
        )
        command = [*PYTHON, "tactic", "device", "run", "--config", "device.toml"]
        return self._child("device", command, stack)

    def start_control(self, stack: ExitStack, frames: int) -> Child:
        """The node that forgets at PUBACK."""
        (self.folder / "forgetful").mkdir()
        command = [sys.executable, forgetful.__file__, str(self.uplink.port), "forgetful"]
        fps = 1.25 * frames / self.plan.seconds
        return self._child("forgetful", [*command, str(frames), str(fps)], stack)

    def torment(self, node: Child) -> None:
        """Kill and cut at random times, until the plan is fulfilled."""
        victims = [node] * self.plan.device
        victims += [self.broker] * self.plan.broker + [self.gateway] * self.plan.gateway
        acts = [victim.kill for victim in victims]
        acts += [self.rng.choice((self.uplink, self.downlink)).cut for _ in range(self.plan.cuts)]
        self.rng.shuffle(acts)
        start_s = time.monotonic()
        moments = sorted(self.rng.uniform(0, self.plan.seconds) for _ in acts)
        for number, (moment, act) in enumerate(zip(moments, acts, strict=True), start=1):
            time.sleep(max(0.0, start_s + moment - time.monotonic()))
            act()
            if number % 20 == 0:
                _say(f"{number} of {len(acts)} kills and cuts, {self.count('packets')} stored")

    def count(self, table: str, where: str = "") -> int:
        """Rows of the gateway's store."""
        try:
            with closing(sqlite3.connect(self.folder / "gateway.db", timeout=30)) as db:
                found: int = db.execute(f"SELECT count(*) FROM {table} {where}").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
        return found

    def _child(self, name: str, command: list[str], stack: ExitStack) -> Child:
        child = Child(command, self.folder, name)
        stack.callback(child.remove)
        return child


def run(plan: Plan, folder: Path) -> Outcome:
    """The node that tactic ships."""
    start_s = time.monotonic()
    with ExitStack() as stack:
        site = Site(folder, plan, stack)
        node = site.start_node(stack, 0)
        site.torment(node)
        kills = node.kills + site.broker.kills + site.gateway.kills
        _wait(lambda: bool(node.events("started")))
        node.end()
        before = node.events("stopped")[-1]["ledger"]["captured"]
        _say(f"{before} frames captured so far; now in peace, to the end")
        last = site.start_node(stack, max(1, plan.frames - before))
        last.wait(4 * _CALM_S)
        ledger = last.events("stopped")[-1]["ledger"]
        frames = ledger["captured"] - sum(ledger["dropped"].values())
        _wait(lambda: site.count("results") >= frames)
        site.gateway.end()
        stored = site.count("packets", "WHERE kind = 0")
        everything = site.count("packets")
        published = site.uplink.published
        duplicates = _repeated(folder)
    dropped = sum(ledger["dropped"].values())
    return Outcome(
        captured=ledger["captured"],
        stored=stored,
        dropped=dropped,
        pending=ledger["pending"],
        lost=ledger["captured"] - stored - dropped,
        duplicates=duplicates,
        resent_share=round(published / max(1, everything) - 1, 4),
        kills=kills,
        seconds=round(time.monotonic() - start_s, 1),
        ledger_exact=ledger["stored"] == stored and ledger["pending"] == 0,
    )


def control(plan: Plan, folder: Path) -> int:
    """Frames that the forgetful node loses in the same weather."""
    with ExitStack() as stack:
        site = Site(folder, plan, stack)
        node = site.start_control(stack, plan.frames)
        site.torment(node)
        if node.wait(4 * _CALM_S):
            raise RuntimeError(f"the control failed: {node.log.read_text()[-500:]}")
        _wait(lambda: site.count("packets") >= plan.frames, _CALM_S / 6)
        site.gateway.end()
        return plan.frames - site.count("packets", "WHERE node = 'forgetful'")


def _repeated(folder: Path) -> int:
    """Results of frames that have one already, and frames stored twice."""
    found = 0
    with closing(sqlite3.connect(folder / "gateway.db")) as db:
        for table, key in (("results", "node, boot, seq, head"), ("packets", "node, boot, pkt")):
            rows = db.execute(f"SELECT {key} FROM {table}").fetchall()
            found += sum(count - 1 for count in Counter(rows).values())
    return found


def _write_pictures(folder: Path) -> None:
    folder.mkdir()
    for number in range(PICTURES):
        grey = np.full((SIDE_PX, SIDE_PX, 3), 255 * number // PICTURES, np.uint8)
        cv2.imwrite(str(folder / f"{number:02d}.png"), grey)


def _wait(condition: Callable[[], bool], seconds: float = _CALM_S) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Both runs; 0 if all promises held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object")
    for name in ("frames", "device", "broker", "gateway", "cuts", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan(), name))
    parser.add_argument("--seconds", type=float, default=Plan().seconds)
    given = vars(parser.parse_args())
    as_json = given.pop("json")
    plan = Plan(**given)
    mild = Plan(
        frames=max(100, plan.frames // 10),
        device=plan.device // 10,
        broker=max(1, plan.broker // 5),
        gateway=max(2, plan.gateway // 5),
        cuts=6,
        seconds=25.0,
        seed=plan.seed,
    )
    if mosquitto() is None:
        _say("mosquitto is not installed; apt install mosquitto")
        return 2
    with tempfile.TemporaryDirectory(prefix="tactic-chaos-") as folder:
        for name in ("node", "control"):
            (Path(folder) / name).mkdir()
        outcome = run(plan, Path(folder) / "node")
        _say("the control, which forgets at PUBACK")
        lost = control(mild, Path(folder) / "control")
        whole = Outcome(**asdict(outcome) | {"control_lost": lost})
        if not whole.good:
            shutil.copytree(folder, "out/chaos", dirs_exist_ok=True)
            _say("logs and store: out/chaos")
    lines = [f"{name}: {value}" for name, value in asdict(whole).items()]
    print(json.dumps(asdict(whole)) if as_json else "\n".join(lines))
    return 0 if whole.good else 1


if __name__ == "__main__":
    sys.exit(main())
