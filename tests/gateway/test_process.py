"""Worker processes: what they answer, and what becomes of those that overrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.packet import unpack
from tactic_codec.types import FrameKey
from tactic_gateway import messages, process
from tactic_gateway.condition import Condition
from tactic_gateway.config import Workers as Settings
from tactic_gateway.errors import WorkerLostError
from tactic_gateway.log import Log
from tactic_gateway.messages import Setup
from tactic_gateway.metrics import Metrics
from tactic_gateway.pipes import Channel
from tactic_gateway.process import Process
from tactic_gateway.records import Arrival, Job
from tactic_gateway.results import Finding, Verdict
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics
from tactic_gateway.workers import Workers

MakePacket = Callable[..., bytes]
MIB = 1 << 20

# A worker whose decoder does something terrible where it meets a symbol.
TERRIBLE = """
import os, signal, sys, time
from tactic_gateway import pipeline, worker
decode = pipeline.Pipeline._decode
def terrible(self, index, raws):
    decoded = decode(self, index, raws)
    worst = int(decoded.latent.symbols.max())
    if worst == 13:
        os.kill(os.getpid(), signal.SIGSEGV)
    if worst == 14:
        while True:
            pass
    if worst == 15:
        hoard = []
        while True:
            hoard.append(bytearray(1 << 24))
    if worst == 16:
        os.write(1, b"library: hello")
        print("hello")
    if worst == 17:
        os.write(worker_output, b"nonsense" * 9)
    return decoded
pipeline.Pipeline._decode = terrible
channel = worker.Channel
def keep(reading, writing):
    global worker_output
    worker_output = writing
    return channel(reading, writing)
worker.Channel = keep
sys.exit(worker.main())
"""
CRASH, HANG, HOARD, CHATTER, NONSENSE = 13, 14, 15, 16, 17


def patience(seconds: float = 30.0) -> Callable[[], float]:
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()


def setup_for(*bundles: Bundle, memory: int = 512 * MIB) -> Setup:
    opened = tuple((str(bundle.path), bundle.digest) for bundle in bundles)
    return Setup(opened, threads=1, top=2, memory_bytes=memory, parent=os.getpid())


@pytest.fixture
def started(bundle: Bundle) -> Iterator[Process]:
    worker = Process(setup_for(bundle))
    worker.start(patience())
    yield worker
    worker.stop()


@pytest.fixture
def terrible(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", TERRIBLE))
    worker = Process(setup_for(bundle))
    yield worker
    worker.stop()


def job(raw: bytes) -> Job:
    packet = unpack(raw)
    return Job(1, FrameKey("cam1", 7, packet.pkt), packet.bundle, 1, 0, None, (raw,))


def test_frames_become_findings(started: Process, make_frame: MakePacket) -> None:
    raws = [make_frame(0, value=20, captured=5), make_frame(1, payload=b""), make_frame(2)]
    first, second, third = started.process([job(raw) for raw in raws], patience())
    assert first.captured == 5
    assert [c["label"] for c in first.findings[0].fields["classes"]] == ["bright", "middle"]  # type: ignore[attr-defined]
    assert second.failure is not None and second.failure[0] == "stream"
    assert third.failure is None


def test_a_bundle_that_cannot_be_used_is_told(bundle: Bundle, tmp_path: Path) -> None:
    changed = Process(replace(setup_for(bundle), bundles=((str(bundle.path), "0" * 64),)))
    with pytest.raises(BundleError, match="changed since the gateway opened it; start it again"):
        changed.start(patience())
    missing = Process(replace(setup_for(bundle), bundles=((str(tmp_path), ""),)))
    with pytest.raises(BundleError, match="give the directory of a bundle"):
        missing.start(patience())


def test_too_little_memory_to_start(bundle: Bundle) -> None:
    with pytest.raises(WorkerLostError) as lost:
        Process(setup_for(bundle, memory=8 * MIB)).start(patience())
    assert lost.value.reason in ("memory", "crash")


@pytest.mark.parametrize(
    ("symbol", "reason"), [(CRASH, "crash"), (HANG, "timeout"), (HOARD, "memory")]
)
def test_a_worker_that_overruns_is_lost_and_started_again(
    terrible: Process, make_frame: MakePacket, symbol: int, reason: str
) -> None:
    terrible.start(patience())
    with pytest.raises(WorkerLostError) as lost:
        terrible.process(
            [job(make_frame(0, value=symbol))], patience(2.0 if symbol == HANG else 30)
        )
    assert lost.value.reason == reason
    terrible.start(patience())
    assert terrible.process([job(make_frame(0))], patience())[0].failure is None


def test_a_library_that_prints_says_nothing_false(
    terrible: Process, make_frame: MakePacket
) -> None:
    terrible.start(patience())
    assert terrible.process([job(make_frame(0, value=CHATTER))], patience())[0].failure is None


def test_nonsense_is_not_believed(terrible: Process, make_frame: MakePacket) -> None:
    terrible.start(patience())
    with pytest.raises(WorkerLostError, match="the worker answered"):
        terrible.process([job(make_frame(0, value=NONSENSE))], patience())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdicts": []},
        {"verdicts": [7]},
        {"verdicts": [{}]},
        {"verdicts": [{"captured": -1, "findings": [], "failure": None}]},
        {"verdicts": [{"captured": 0, "findings": [], "failure": ["/#", "x"]}]},
        {"verdicts": [{"captured": 0, "findings": 3, "failure": None}]},
        {"verdicts": [{"captured": 0, "findings": [{"task": "a/b"}], "failure": None}]},
    ],
)
def test_verdicts_without_form_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        messages.unpack_verdicts((body, b""), 1)


def test_messages_come_back_as_they_were_sent(make_frame: MakePacket) -> None:
    jobs = [job(make_frame(0)), job(make_frame(1, value=3))]
    jobs[1] = replace(jobs[1], raws=(*jobs[1].raws, b"", b"part"))
    frames = messages.unpack_frames(messages.pack_jobs(jobs))
    assert [frame.raws for frame in frames] == [each.raws for each in jobs]
    verdicts = [
        Verdict(3, (Finding("classification", "h", "0f", {"classes": []}),)),
        Verdict(failure=("stream", "no words")),
    ]
    assert messages.unpack_verdicts(messages.pack_verdicts(verdicts), 2) == verdicts


def test_a_channel_waits_no_longer_than_it_may() -> None:
    (reading, far), (near, writing) = os.pipe(), os.pipe()
    channel = Channel(reading, writing)
    with pytest.raises(TimeoutError):
        channel.receive(patience(0.05))
    with pytest.raises(TimeoutError):
        channel.send({}, bytes(4 * MIB), patience(0.05))
    os.close(far)
    os.close(near)
    with pytest.raises(EOFError):
        channel.receive(patience())
    with pytest.raises(EOFError):
        channel.send({}, b"x", patience())
    os.close(reading)
    os.close(writing)


ORPHAN = """
import os, sys, threading, time
from tactic_gateway import process
from tactic_gateway.messages import Setup
process.COMMAND = (sys.executable, "-c", sys.argv[3])
setup = Setup(((sys.argv[1], sys.argv[2]),), 1, 2, 1 << 29, os.getpid())
worker = process.Process(setup)
end = time.monotonic() + 30
worker.start(lambda: end - time.monotonic())
print(worker._process.pid, flush=True)
from tactic_gateway.records import Job
from tactic_codec.types import FrameKey
raw = bytes.fromhex(sys.argv[4])
worker.process([Job(1, FrameKey("c", 7, 0), int(sys.argv[5]), 1, 0, None, (raw,))], lambda: 60.0)
"""


def test_a_worker_that_hangs_dies_with_its_gateway(bundle: Bundle, make_frame: MakePacket) -> None:
    raw = make_frame(0, value=HANG)
    arguments = [str(bundle.path), bundle.digest, TERRIBLE, raw.hex(), str(bundle.codec.wire_id)]
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, *arguments], stdout=subprocess.PIPE
    ) as gateway:
        assert gateway.stdout is not None
        worker = int(gateway.stdout.readline())
        time.sleep(0.5)
        gateway.kill()
    deadline = time.monotonic() + 10
    while is_running(worker):
        assert time.monotonic() < deadline, "the worker outlived its gateway"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def test_signals_to_the_group_do_not_end_a_worker(started: Process, make_frame: MakePacket) -> None:
    assert started._process is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(started._process.pid, number)
    assert started.process([job(make_frame(0))], patience())[0].failure is None


def test_the_innocent_are_not_condemned(
    terrible: Process, store: Store, condition: Condition, log: Log, make_frame: MakePacket
) -> None:
    """Two frames that end workers, among twelve: two fail, ten have results."""
    metrics = Metrics()
    workers = Workers(
        store,
        condition,
        Settings(batch_wait_ms=0.0, batch_limit_s=2.0),
        topics=Topics("tactic/v1", "lab"),
        publish=lambda *_: None,
        metrics=metrics,
        log=log,
    )
    values = [CRASH if n == 3 else HANG if n == 5 else n % 5 for n in range(12)]
    raws = [make_frame(n, value=value) for n, value in enumerate(values)]
    store.commit([Arrival("cam1", unpack(raw), raw, 1) for raw in raws])
    stop = threading.Event()
    thread = threading.Thread(target=workers.run, args=(terrible, stop))
    thread.start()
    deadline = time.monotonic() + 60
    while store.backlog and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert store.account() == {"done": 10, "failed": 2}
    counts = metrics.snapshot()
    assert counts["results"] == 10
    assert (counts["failed.crash"], counts["failed.timeout"]) == (1, 1)
    assert counts["lost.crash"] + counts["lost.timeout"] <= 4
