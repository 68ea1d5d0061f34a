"""What tests of several rooms share: a tiny bundle, a real broker, real processes, the data sets.

``TACTIC_DATA`` names the folder of the data sets. Without it the tests that need them are skipped;
with it they have to run: a missing archive, or a skip for another reason, is a failure.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rig.tiny import write_tiny_bundle
from tactic.demo.broker import Broker

DATA = "TACTIC_DATA"
WAIT_S = 60.0
#: files with a test that takes a minute or more
LONG = {"test_gating.py", "test_tutorial.py", "test_soak.py"}

Report = pytest.TestReport


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, or one process would run it while the others have ended."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Report, Report]:
    """Where there are data sets, a test that needs them may not be skipped."""
    report = yield
    if report.skipped and "data" in getattr(item, "fixturenames", ()) and DATA in os.environ:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped although {DATA} is set: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say last how many tests did not run, and why."""
    yield
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    terminalreporter.write_line(f"skipped: {reasons.total()}")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"  {count} x {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the data sets."""
    if DATA not in os.environ:
        pytest.skip(f"{DATA} is not set: it names the folder of the data sets")
    return Path(os.environ[DATA])


def brokers() -> list[str]:
    """The brokers this machine can start."""
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    iotcore = importlib.util.find_spec("iotcore")
    return (["mosquitto"] if mosquitto else []) + (["iotcore"] if iotcore else [])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running broker: mosquitto, or iotcore where there is none."""
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture(params=brokers())
def each_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Every broker in turn that this machine can start."""
    with Broker(tmp_path, request.param) as running:
        yield running


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle that costs next to nothing; see `rig.tiny`."""
    pytest.importorskip("onnx", reason="onnx makes the networks of the tiny bundle")
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


Tables = dict[str, dict[str, Any]]


class Site:
    """A gateway and a node as a user would run them; all that they write lies in one folder.

    Attributes
    ----------
    bundle : Path
    folder : Path
        Has ``device.toml``, ``gateway.toml``, ``outbox`` and ``gateway.db``.
    environment : dict of str to dict of str to str
        Further variables for the processes of a room.
    """

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder = folder
        self.bundle = bundle
        self.environment: dict[str, dict[str, str]] = {}
        self._running: list[subprocess.Popen[bytes]] = []

    def configure(self, port: int, **changes: dict[str, Any]) -> None:
        """Write both files; ``changes`` are tables of the node's, merged into the usual ones."""
        mqtt = {"host": "127.0.0.1", "port": port}
        gateway: Tables = {
            "gateway": {"site": "lab", "health_interval_s": 1.0},
            "bundles": {"paths": [str(self.bundle)], "unsigned": True},
            "store": {"path": "gateway.db"},
            "mqtt": mqtt,
        }
        device: Tables = {
            "node": {"site": "lab", "node": "cam1"},
            "bundle": {"path": str(self.bundle), "unsigned": True},
            "source": {"kind": "folder", "path": "pictures"},
            "encoder": {"runtime": "onnxruntime"},
            "outbox": {"path": "outbox", "ram_path": "ram"},
            "sending": {"start_within_s": 0.1},
            "mqtt": mqtt,
        }
        for table, values in changes.items():
            device[table] = device.get(table, {}) | values
        for room, tables in (("gateway", gateway), ("device", device)):
            (self.folder / f"{room}.toml").write_text(_toml(tables))

    def start(self, room: str) -> subprocess.Popen[bytes]:
        """``tactic ROOM run``; its output is appended to ``ROOM.log``."""
        command = [sys.executable, "-m", "tactic", room, "run", "--config", f"{room}.toml"]
        variables = os.environ | self.environment.get(room, {})
        with (self.folder / f"{room}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=variables, stdout=log, stderr=log
            )
        self._running.append(process)
        return process

    def events(self, room: str, name: str) -> list[dict[str, Any]]:
        """The events of one name in the log of a room, whole lines only."""
        path = self.folder / f"{room}.log"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def counters(self) -> dict[str, int]:
        """The gateway's counters as last told; none before it told any."""
        events = self.events("gateway", "health")
        return events[-1]["counters"] if events else {}

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Look until it is so; fail with the logs after a minute."""
        deadline_s = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > deadline_s:
                logs = "\n".join(path.read_text() for path in self.folder.glob("*.log"))
                pytest.fail(f"waited in vain: {what}\n{logs}")
            time.sleep(0.02)

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM, and the exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(WAIT_S)

    def close(self) -> None:
        """End what still runs."""
        for process in self._running:
            process.kill()
            process.wait()


def _toml(tables: Tables) -> str:
    lines: list[str] = []
    for name, values in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture
def site(tmp_path: Path, tiny_bundle: Path) -> Iterator[Site]:
    """A site with twelve pictures from dark to bright; nothing runs yet."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV writes the pictures")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(12):
        grey = np.full((40, 60, 3), 20 * number + 10, np.uint8)
        cv2.imwrite(str(pictures / f"{number:02d}.png"), grey)
    made = Site(tmp_path, tiny_bundle)
    yield made
    made.close()
