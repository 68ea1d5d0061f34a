"""A service manager as systemd would be: it waits for READY, watches heartbeats, starts again.

``python -m rig.manager`` hangs a real node in two ways, with the figures of the shipped unit, and
prints how long it takes until the next one is ready.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from rig.tiny import write_tiny_bundle
from tactic_device.service import layout

_LOOK_S = 0.05
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Patience:
    """Of the unit: ``WatchdogSec``, ``TimeoutAbortSec``, ``RestartSec``."""

    watchdog_s: float
    abort_s: float
    restart_s: float

    @classmethod
    def of_unit(cls) -> Patience:
        """As the shipped unit says."""
        text = layout.unit(Path("/bin/true"))
        names = ("WatchdogSec", "TimeoutAbortSec", "RestartSec")
        return cls(*(float(re.findall(rf"^{name}=(\d+)", text, re.M)[0]) for name in names))


@dataclass
class Manager:
    """Keeps one command running, as a context manager.

    Attributes
    ----------
    ready_s : list of float
        When each of its processes said READY, on the monotonic clock.
    beats : int
        Heartbeats so far.
    killed : int
        How often the watchdog ended a process.
    started_s : list of float
        When each of its processes was started.
    """

    command: Sequence[str]
    folder: Path
    patience: Patience
    ready_s: list[float] = field(default_factory=list)
    started_s: list[float] = field(default_factory=list)
    beats: int = 0
    killed: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.folder / "notify"))
        self._socket.settimeout(_LOOK_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
        (self.folder / "notify").unlink()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Look until it is so."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline_s:
                log = (self.folder / "node.log").read_text()
                raise AssertionError(f"waited in vain: {what}\n{log}")
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._serve()
            self._stop.wait(self.patience.restart_s)

    def _serve(self) -> None:
        """One process from its start to its end."""
        variables = os.environ | {
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "WATCHDOG_USEC": str(int(self.patience.watchdog_s * 1e6)),
        }
        self.started_s.append(time.monotonic())
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=variables, stdout=log, stderr=log
            )
        last_s: float | None = None
        while self.process.poll() is None and not self._stop.is_set():
            said = self._hear()
            if "READY=1" in said:
                self.ready_s.append(time.monotonic())
            if said & {"READY=1", "WATCHDOG=1"}:
                self.beats += "WATCHDOG=1" in said
                last_s = time.monotonic()
            if last_s is not None and time.monotonic() - last_s > self.patience.watchdog_s:
                self.killed += 1
                break
        self._end()

    def _hear(self) -> set[str]:
        try:
            return set(self._socket.recv(4096).decode().splitlines())
        except TimeoutError:
            return set()

    def _end(self) -> None:
        assert self.process is not None, "it was started"
        self.process.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.patience.abort_s)
        self.process.kill()
        self.process.wait()


def write_node(folder: Path, bundle: Path) -> list[str]:
    """A node without a broker that looks at some pictures for ever; return its command."""
    (folder / "pictures").mkdir()
    for number in range(4):
        grey = np.full((40, 60, 3), 60 * number + 10, np.uint8)
        cv2.imwrite(str(folder / f"pictures/{number}.png"), grey)
    tables: dict[str, dict[str, object]] = {
        "node": {"site": "lab", "node": "cam1"},
        "bundle": {"path": str(bundle), "unsigned": True},
        "source": {"kind": "folder", "path": "pictures", "fps": 10.0, "loop": True},
        "encoder": {"runtime": "onnxruntime"},
        "outbox": {"path": "outbox", "ram_path": "ram"},
        "mqtt": {"port": 1},
    }
    lines = []
    for name, values in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    (folder / "device.toml").write_text("\n".join(lines) + "\n")
    return [sys.executable, "-m", "tactic", "device", "run", "--config", "device.toml"]


def hang_loop(manager: Manager) -> None:
    """The main thread opens a pipe that nobody writes to, and waits for ever."""
    path = manager.folder / "pictures/0.png"
    path.unlink()
    os.mkfifo(path)


def freeze(manager: Manager) -> None:
    """The whole process stands still."""
    assert manager.process is not None, "it runs"
    manager.process.send_signal(signal.SIGSTOP)


HANGS: dict[str, Callable[[Manager], None]] = {"loop hangs": hang_loop, "frozen": freeze}


@dataclass(frozen=True)
class Recovery:
    """Seconds from a hang to the start of the next process, and from there to READY.

    The second figure says more about the machine than about the watchdog: `first_ready_s` is the
    same of the process before.
    """

    restarted_s: float
    ready_s: float
    first_ready_s: float


def recover(bundle: Path, hang: Callable[[Manager], None], patience: Patience) -> Recovery:
    """Hang a node, and see how long it is away."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = write_node(folder, bundle)
        with Manager(command, folder, patience) as manager:
            manager.wait_for(lambda: manager.beats > 3, "heartbeats")
            assert manager.killed == 0
            began_s = time.monotonic()
            hang(manager)
            manager.wait_for(lambda: len(manager.ready_s) > 1, "another process that is ready")
            started_s, ready_s = manager.started_s, manager.ready_s
            return Recovery(
                started_s[1] - began_s, ready_s[1] - started_s[1], ready_s[0] - started_s[0]
            )


def main() -> None:
    """Print the times, with the unit's figures."""
    patience = Patience.of_unit()
    print(patience)
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_tiny_bundle(Path(folder) / "tiny")
        for name, hang in HANGS.items():
            found = recover(bundle, hang, patience)
            print(
                f"{name}: started again after {found.restarted_s:.1f} s, ready "
                f"{found.ready_s:.1f} s later (the first time {found.first_ready_s:.1f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
