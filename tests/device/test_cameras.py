"""Cameras in a process of their own, with a stand-in for picamera2 that does what it is told."""

from __future__ import annotations

import gc
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tactic_codec.bundle import Bundle
from tactic_device.cameras.opencv import without_secrets
from tactic_device.config import Source as Settings
from tactic_device.errors import SourceError
from tactic_device.log import Log
from tactic_device.sources import Source, open_source
from tactic_device.sources.supervised import Supervised

Events = Callable[[], list[dict[str, Any]]]

#: gives pictures whose values count up from 0; does what the file ``plan.json`` says
PICAMERA = """
import json, os, time
from pathlib import Path
import numpy as np

PLAN = Path(__file__).with_name("plan.json")

class Picamera2:
    def __init__(self):
        self.plan = json.loads(PLAN.read_text())
        self.count = -1
        if "missing" in self.plan:
            raise IndexError("list index out of range")

    def create_video_configuration(self, main):
        return main

    def configure(self, wanted):
        assert wanted == {"format": "BGR888"}

    def start(self):
        PLAN.with_name("pid").write_text(str(os.getpid()))

    def capture_array(self, name):
        self.count += 1
        time.sleep(self.plan.get("interval_s", 0.0))
        once = PLAN.with_name("once")
        if self.count == self.plan.get("fails_at") and not once.exists():
            once.touch()
            raise RuntimeError("frontend timed out")
        if self.count == self.plan.get("hangs_at") and not once.exists():
            once.touch()
            time.sleep(3600)
        side = 8 if self.count < self.plan.get("grows_at", 1 << 30) else 800
        return np.full((side, side + 2, 3), self.count % 256, np.uint8)
"""


class Plan:
    """A source with the stand-in for a camera."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder, self.log, self.stop = folder, log, threading.Event()

    def open(self, plan: dict[str, Any], **settings: Any) -> Source:
        (self.folder / "plan.json").write_text(json.dumps(plan))
        given = Settings(**{"kind": "picamera2", "settle_frames": 0, **settings})
        return open_source(given, lambda: 0, self.stop.wait, self.log)

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Log) -> Plan:
    (tmp_path / "picamera2.py").write_text(PICAMERA)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Plan(tmp_path, log)


def values(source: Source, count: int) -> list[int]:
    shots = source.shots()
    return [int(next(shots).pixels.max()) for _ in range(count)]


def test_pictures_come_in_order_and_none_is_missed_unseen(plan: Plan) -> None:
    with closing(plan.open({"interval_s": 0.005})) as source:
        shots, last = source.shots(), -1
        for _ in range(20):
            shot = next(shots)
            assert shot.pixels.shape == (8, 10, 3)
            assert (shot.pixels == last + shot.missed + 1).all()
            last += shot.missed + 1


def test_a_node_that_is_busy_gets_the_newest_picture_and_is_told_how_many_it_missed(
    plan: Plan,
) -> None:
    with closing(plan.open({"interval_s": 0.01})) as source:
        shots = source.shots()
        first = int(next(shots).pixels[0, 0, 0])
        time.sleep(0.5)
        shot = next(shots)
        assert shot.missed >= 10
        assert int(shot.pixels[0, 0, 0]) == first + shot.missed + 1


def test_the_first_pictures_are_not_used(plan: Plan) -> None:
    with closing(plan.open({"interval_s": 0.05}, settle_frames=7)) as source:
        assert values(source, 1) == [7]


def test_a_camera_may_change_its_size(plan: Plan) -> None:
    with closing(plan.open({"interval_s": 0.01, "grows_at": 5})) as source:
        shots = source.shots()
        small = next(shots).pixels
        large = next(shot.pixels for shot in shots if len(shot.pixels) > 8)
        assert large.shape == (800, 802, 3)
        assert (small == small[0, 0, 0]).all()
        assert (large == large[0, 0, 0]).all()


def test_a_slow_pace_is_no_silence(plan: Plan) -> None:
    with closing(plan.open({}, fps=0.7, deadline_s=1.0)) as source:
        assert values(source, 3) == [0, 1, 2]
        assert source.restarts == 0


@pytest.mark.parametrize("fault", ["hangs_at", "fails_at"])
def test_a_camera_that_hangs_or_fails_is_started_again_and_counted(
    plan: Plan, fault: str, events: Events
) -> None:
    with closing(plan.open({fault: 3, "interval_s": 0.02}, deadline_s=1.5)) as source:
        shots = source.shots()
        assert int(next(shots).pixels[0, 0, 0]) == 0
        former = plan.pid
        while source.restarts == 0:
            next(shots)
        assert int(next(shots).pixels[0, 0, 0]) < 4
        assert plan.pid != former
        assert not Path(f"/proc/{former}").exists()
    lost, back = events()
    assert (lost["event"], back["event"], back["restarts"]) == ("camera_lost", "camera_back", 1)
    assert ("no sign of life for 1.5 s" in lost["cause"]) == (fault == "hangs_at")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_camera_whose_process_is_killed_or_stopped_is_started_again(
    plan: Plan, number: signal.Signals
) -> None:
    with closing(plan.open({"interval_s": 0.02}, deadline_s=1.5)) as source:
        shots = source.shots()
        next(shots)
        os.kill(plan.pid, number)
        while source.restarts == 0:
            next(shots)
        next(shots)
    assert source.restarts == 1


def test_a_hang_is_over_within_15_s_with_the_settings_as_they_come(plan: Plan) -> None:
    with closing(plan.open({"hangs_at": 8, "interval_s": 0.03}, settle_frames=5)) as source:
        longest_s = 0.0
        shots = source.shots()
        next(shots)
        while source.restarts == 0:
            began_s = time.monotonic()
            next(shots)
            longest_s = max(longest_s, time.monotonic() - began_s)
    assert 7 < longest_s < 15


def test_the_pause_before_a_restart_doubles(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return pauses.count(0.0) > 40 or len([p for p in pauses if p]) == 8

    (plan.folder / "plan.json").write_text('{"missing": 1}')
    told = {"kind": "picamera2", "place": None, "fps": 0.0, "settle_frames": 0}
    monkeypatch.setattr("tactic_device.sources.supervised._Camera", Broken)
    assert list(Supervised(told, 1.0, True, wait).shots()) == []
    assert [p for p in pauses if p] == [0.5, 1, 2, 4, 8, 16, 30, 30]


class Broken:
    """A camera that fails at once."""

    def __init__(self, _: object) -> None:
        self.taker = self

    def take(self, _: float) -> None:
        raise SourceError("broken")

    def kill(self) -> None: ...


def test_restarts_leak_neither_descriptors_nor_memory(plan: Plan) -> None:
    with closing(plan.open({"interval_s": 0.0}, fps=0.0)) as source:
        shots, seen = source.shots(), []
        for _ in range(4):
            next(shots)
            os.kill(plan.pid, signal.SIGKILL)
            before = source.restarts
            while source.restarts == before:
                next(shots)
            gc.collect()
            maps = Path("/proc/self/maps").read_text().count("memfd:camera")
            seen.append((len(list(Path("/proc/self/fd").iterdir())), maps))
        assert seen[1] == seen[2] == seen[3]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"kind": "opencv", "device": 63}, "/dev/video63: camera not found"),
        ({"kind": "picamera2"}, "Raspberry Pi camera not found or in use"),
    ],
)
def test_a_camera_that_is_not_there_at_first_is_one_line(
    plan: Plan, settings: dict[str, Any], complaint: str
) -> None:
    with (
        closing(plan.open({"missing": True}, **settings)) as source,
        pytest.raises(SourceError, match=complaint) as caught,
    ):
        next(source.shots())
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("ImportError", "picamera2 is not installed; apt install"),
        ("ValueError('numpy.dtype size changed')", "does not go with this numpy .numpy.dtype"),
    ],
)
def test_picamera2_that_cannot_be_imported_is_one_line(
    fault: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2.py").write_text(f"raise {fault}")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = Settings(kind="picamera2")
    with (
        closing(open_source(settings, lambda: 0, threading.Event().wait)) as source,
        pytest.raises(SourceError, match=complaint),
    ):
        next(source.shots())


def test_a_stop_interrupts_a_camera_that_hangs(plan: Plan) -> None:
    with closing(plan.open({"hangs_at": 1}, deadline_s=60.0)) as source:
        shots = source.shots()
        next(shots)
        threading.Timer(0.2, plan.stop.set).start()
        started_s = time.monotonic()
        assert list(shots) == []
        assert time.monotonic() - started_s < 2
    assert not Path(f"/proc/{plan.pid}").exists()


class Stream(BaseHTTPRequestHandler):
    """MJPEG over HTTP, some pictures a connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        # One picture, of red.
        red = np.full((48, 64, 3), (0, 0, 200), np.uint8)
        picture = cv2.imencode(".jpg", red)[1].tobytes()
        head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        for _ in range(30):
            self.wfile.write(head.encode() + picture + b"\r\n")
            time.sleep(0.02)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def stream() -> Iterator[str]:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...

    with Server(("127.0.0.1", 0), Stream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:secret@127.0.0.1:{server.server_address[1]}/video.mjpg"
        server.shutdown()


def test_a_stream_that_ends_is_opened_again(stream: str, log: Log, events: Events) -> None:
    settings = Settings(kind="opencv", url=stream, settle_frames=2)
    with closing(open_source(settings, lambda: 0, threading.Event().wait, log)) as source:
        shots = source.shots()
        shot = next(shots)
        assert shot.pixels.shape == (48, 64, 3)
        assert abs(shot.pixels[20, 20].astype(int) - (200, 0, 0)).max() < 20
        while source.restarts == 0:
            next(shots)
    lost = events()[0]
    assert "camera stopped giving pictures" in lost["cause"]
    assert "secret" not in json.dumps(events())


def test_a_stream_that_is_not_there_yet_is_waited_for(log: Log, events: Events) -> None:
    stop = threading.Event()
    settings = Settings(kind="opencv", url="rtsp://user:secret@127.0.0.1:9/x")
    with closing(open_source(settings, lambda: 0, stop.wait, log)) as source:
        threading.Timer(4.0, stop.set).start()
        assert list(source.shots()) == []
        assert source.restarts >= 1
    (lost,) = events()
    assert "rtsp://127.0.0.1:9/x: camera not found" in lost["cause"]


def test_a_url_is_shown_without_secrets() -> None:
    assert without_secrets("rtsp://u:p@cam:554/live?token=1") == "rtsp://cam:554/live"
    assert without_secrets("http://[broken") == "the stream"


def test_the_process_ends_with_the_node(plan: Plan) -> None:
    program = (
        "import sys, threading, time\n"
        "from tactic_device.config import Source as Settings\n"
        "from tactic_device.sources import open_source\n"
        "source = open_source(Settings(kind='picamera2'), lambda: 0, threading.Event().wait)\n"
        "next(source.shots()); print('here', flush=True); time.sleep(60)\n"
    )
    (plan.folder / "plan.json").write_text('{"interval_s": 0.01}')
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment
    ) as node:
        assert node.stdout is not None
        node.stdout.readline()
        node.kill()
    until_s = time.monotonic() + 5
    while Path(f"/proc/{plan.pid}").exists() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not Path(f"/proc/{plan.pid}").exists()


def test_a_node_that_is_stopped_for_a_while_goes_on_and_blames_no_camera(
    plan: Plan, bundle: Bundle
) -> None:
    """``TACTIC_STOP_S=60`` stops it for a minute."""
    pytest.importorskip("onnxruntime")
    (plan.folder / "plan.json").write_text('{"interval_s": 0.05}')
    (plan.folder / "device.toml").write_text(
        f'[node]\nsite = "yard"\nnode = "cam1"\n[bundle]\npath = "{bundle.path}"\nunsigned = true\n'
        '[source]\nkind = "picamera2"\nfps = 5.0\ndeadline_s = 2.0\nsettle_frames = 0\n'
        '[outbox]\npath = "outbox"\nram_path = "ram"\n[mqtt]\nport = 1\n'
        '[encoder]\nruntime = "onnxruntime"\n'
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "tactic", "device", "run", "-c", "device.toml"]
    with subprocess.Popen(
        command, cwd=plan.folder, stdout=subprocess.PIPE, text=True, env=environment
    ) as node:
        assert node.stdout is not None
        while '"started"' not in node.stdout.readline():
            assert node.poll() is None
        time.sleep(1.0)
        node.send_signal(signal.SIGSTOP)
        time.sleep(float(os.environ.get("TACTIC_STOP_S", "4")))
        node.send_signal(signal.SIGCONT)
        time.sleep(2.0)
        node.terminate()
        events = [json.loads(line) for line in node.stdout]
        assert node.wait(30) == 0
    assert "camera_lost" not in {each["event"] for each in events}
    ledger = events[-1]["ledger"]
    # What was due meanwhile was missed, and is accounted for; it went on afterwards.
    assert ledger["dropped"]["busy"] >= 10
    assert ledger["pending"] >= 3
