"""From stored packets to published results; one bad frame costs only itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_codec.types import FrameKey, Latent
from tactic_gateway.condition import Condition
from tactic_gateway.config import Workers as Settings
from tactic_gateway.decoder import Decoder
from tactic_gateway.errors import DecodeError, WorkerLostError
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.pipeline import Pipeline
from tactic_gateway.pipes import Patience
from tactic_gateway.process import Worker
from tactic_gateway.records import Arrival, Birth, Job
from tactic_gateway.results import Verdict
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics
from tactic_gateway.workers import Workers

MakePacket = Callable[..., bytes]
NOW_NS = 9_000_000


@dataclass
class Bench:
    store: Store
    metrics: Metrics
    workers: Workers
    worker: Worker
    sent: list[tuple[str, dict[str, Any], bool]] = field(default_factory=list)

    def put(self, *raws: bytes) -> None:
        self.store.commit([Arrival("cam1", unpack(raw), raw, 1_000_000) for raw in raws])

    def work(self) -> list[tuple[str, dict[str, Any], bool]]:
        before = len(self.sent)
        while jobs := self.store.claim(8):
            self.workers.handle(jobs, self.worker, threading.Event())
        return self.sent[before:]


@pytest.fixture
def bench(store: Store, condition: Condition, local: Worker, log: Log) -> Bench:
    metrics = Metrics()

    def publish(topic: str, body: str, retain: bool) -> None:
        made.sent.append((topic, json.loads(body), retain))

    workers = Workers(
        store,
        condition,
        Settings(batch_wait_ms=0.0),
        topics=Topics("tactic/v1", "lab"),
        publish=publish,
        metrics=metrics,
        log=log,
        now_ns=lambda: NOW_NS,
    )
    made = Bench(store, metrics, workers, local)
    return made


def test_a_frame_becomes_a_result(bench: Bench, bundle: Bundle, make_frame: MakePacket) -> None:
    raw = make_frame(0, value=20, captured=300)
    bench.store.commit([], [Birth("cam1", 7, 1_000_000_000, "{}")])
    bench.put(raw)
    (result, last) = bench.work()
    assert result[0] == "tactic/v1/lab/cam1/result/classification" and not result[2]
    assert last == ("tactic/v1/lab/cam1/last/classification", result[1], True)
    classes = result[1].pop("classes")
    assert result[1] == {
        "node": "cam1",
        "boot": 7,
        "seq": 0,
        "task": "classification",
        "head": "brightness",
        "model": bundle.manifest.heads[0].model.sha256[:16],
        "captured_unix_ns": 4_000_000_000,
        "parts": 0,
        "wire_bytes": len(raw),
        "latency_ms": 8.0,
    }
    assert [c["label"] for c in classes] == ["bright", "middle"]
    assert classes[0]["index"] == 2
    assert 0.5 < classes[0]["score"] <= 1.0


def test_sizes_are_batched_apart(bench: Bench, make_frame: MakePacket) -> None:
    bench.put(*(make_frame(n, value=n, geometry=n % 2) for n in range(6)))
    bench.work()
    assert bench.metrics.snapshot() == {"frames": 6, "results": 6}


def test_without_a_birth_there_is_no_capture_time(bench: Bench, make_frame: MakePacket) -> None:
    bench.put(make_frame(0))
    assert bench.work()[0][1]["captured_unix_ns"] is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"geometry": 1, "payload": b"\x00\x00\x01\x00" + bytes(800)}, "stream"),
        ({"payload": b""}, "stream"),
        ({"payload": b"\xff" * 501}, "stream"),
        ({"level": 3}, "level"),
        ({"layers": 3}, "layers"),
        ({"layers": 1}, "layers"),
        ({"level": 2}, "layers"),
    ],
)
def test_a_bad_frame_costs_only_itself(
    bench: Bench, make_frame: MakePacket, fields: dict[str, Any], reason: str
) -> None:
    bench.put(make_frame(0), make_frame(1, **fields), make_frame(2))
    assert {body["seq"] for _, body, _ in bench.work()} == {0, 2}
    assert bench.metrics.snapshot() == {f"failed.{reason}": 1, "frames": 3, "results": 2}
    assert bench.store.requeue([]) == {"new": 0, "waiting": 0}


def test_a_geometry_that_is_not_declared(bench: Bench, make_frame: MakePacket) -> None:
    packet = unpack(make_frame(0))
    fields: dict[str, Any] = {"boot": 7, "bundle": packet.bundle, "layers": 2, "geometry": 5}
    bench.put(pack(Packet(kind=Kind.FRAME, pkt=0, payload=packet.payload, **fields)))
    assert bench.work() == []
    assert bench.metrics.snapshot() == {"failed.geometry": 1, "frames": 1}


def test_a_batch_that_a_network_refuses_is_tried_one_by_one(
    bench: Bench, make_frame: MakePacket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = Decoder.pictures

    def fussy(self: Decoder, latents: Sequence[Latent]) -> Any:
        if any((latent.symbols == 13).any() for latent in latents):
            raise DecodeError("model", "out of luck")
        return pictures(self, latents)

    monkeypatch.setattr(Decoder, "pictures", fussy)
    bench.put(make_frame(0), make_frame(1, value=13), make_frame(2))
    assert {body["seq"] for _, body, _ in bench.work()} == {0, 2}
    assert bench.metrics.snapshot()["failed.model"] == 1


def test_history_is_published_but_never_as_the_last(bench: Bench, make_frame: MakePacket) -> None:
    bench.put(make_frame(5))
    bench.work()
    bench.put(make_frame(1, value=9))
    assert [topic.split("/")[-2] for topic, _, _ in bench.work()] == ["result"]
    bench.sent.clear()
    bench.workers.republish()
    assert [(topic.split("/")[-2], body["seq"], retain) for topic, body, retain in bench.sent] == [
        ("last", 5, True)
    ]


def test_a_cut_stream_decodes_and_its_part_completes_it(
    bundle: Bundle, make_frame: MakePacket
) -> None:
    whole = unpack(make_frame(0, value=11))
    fields: dict[str, Any] = {"boot": 7, "bundle": whole.bundle, "layers": 2}
    cut = len(whole.payload) // 4 * 2
    opening = Packet(kind=Kind.FRAME, pkt=0, payload=whole.payload[:cut], **fields)
    part = Packet(kind=Kind.PART, pkt=1, geometry=1, payload=whole.payload[cut:], **fields)
    stray = Packet(kind=Kind.PART, pkt=3, geometry=3, payload=b"zz", **fields)
    decoder = Decoder(bundle, threads=1)
    some = decoder.latent([opening])
    assert some.levels.tolist() == [2, 2, 3, 3]
    assert (some.symbols == np.array([4, 4, 0, 0])[:, None, None]).all()
    complete = decoder.latent([opening, stray, part])
    assert complete.levels.tolist() == [0] * 4
    assert (complete.symbols == 11).all()
    picture = decoder.reconstruct(FrameKey("cam1", 7, 0), [opening, part])
    assert picture.pixels.shape == (16, 16, 3)
    assert (picture.pixels == 128 + 11).all()


def test_pictures_are_drawn_at_the_levels_that_arrived(
    bundle: Bundle, make_frame: MakePacket
) -> None:
    """Frames of several levels, whole and cut, in one batch."""
    fine, other = unpack(make_frame(0, value=9)), unpack(make_frame(1, value=5, level=1))
    parts = [replace(fine, payload=fine.payload[:size]) for size in (4, 30, 50)]
    decoder = Decoder(bundle, threads=1)
    latents = [decoder.latent([packet]) for packet in (*parts, fine, other)]
    for latent in latents[:3]:
        assert (latent.symbols[latent.levels == 3] == 0).all()
        assert (latent.symbols[latent.levels == 2] == 3).all()
        assert (latent.symbols[latent.levels == 0] == 9).all()
    assert [np.mean(latent.levels) for latent in latents] == [3, 2.5, 1.5, 0, 1]
    # The tiny decoder multiplies by the level and 1, so levels 0 and 2 give the same value.
    drawn = [int(picture[0, 0, 0]) - 128 for picture in decoder.pictures(latents)]
    assert drawn == [0, 9 * 2 // 4, 9, 9, 5 * 2]


def test_a_head_that_does_not_fit_its_labels_is_found_at_the_start(
    make_bundle: Callable[..., Path],
) -> None:
    path = make_bundle("other", ("cat", "dog"))
    with pytest.raises(BundleError, match=r"for 2 labels.*export the bundle again"):
        Pipeline(Bundle.open(path), threads=1, top=5)


def test_a_file_that_is_no_network(
    make_bundle: Callable[..., Path], replaced: Callable[[Path, str, bytes], Bundle]
) -> None:
    bundle = replaced(make_bundle("broken"), "gateway/decoder.onnx", b"\x00nothing")
    with pytest.raises(BundleError, match=r"decoder\.onnx: .*export the bundle again") as caught:
        Pipeline(bundle, threads=1, top=5)
    assert "\n" not in str(caught.value)


def test_a_file_that_changes_after_it_was_checked_is_not_used(
    make_bundle: Callable[..., Path],
) -> None:
    path = make_bundle("changing")
    bundle = Bundle.open(path)
    (path / "gateway/labels.txt").write_text("dark\nmiddle\nother!\n")
    with pytest.raises(BundleError, match=r"labels\.txt: not the file that manifest\.json"):
        Pipeline(bundle, threads=1, top=5)


def test_threads_work_until_told_to_stop(bench: Bench, make_frame: MakePacket) -> None:
    stop = threading.Event()
    threads = [
        threading.Thread(target=bench.workers.run, args=(bench.worker, stop)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for pkt in range(40):
        bench.put(make_frame(pkt, value=int(np.int8(pkt % 20))))
        bench.workers.wake()
    for _ in range(500):
        if bench.metrics.snapshot().get("results") == 40:
            break
        stop.wait(0.01)
    stop.set()
    bench.workers.wake()
    for thread in threads:
        thread.join()
    lasts = [body["seq"] for _, body, retain in bench.sent if retain]
    assert lasts == sorted(lasts)
    assert lasts[-1] == 39
    assert len(bench.sent) - len(lasts) == 40


class Local:
    """A worker that is always there."""

    def start(self, left_s: Patience) -> None:
        pass

    def stop(self) -> None:
        pass


def test_the_batch_in_hand_is_finished_when_the_gateway_stops(
    bench: Bench, make_frame: MakePacket
) -> None:
    """Told to stop while a worker decodes: its verdicts are still stored, and no more is taken."""
    stop = threading.Event()

    class Slow(Local):
        def process(self, jobs: Sequence[Job], left_s: Patience) -> list[Verdict]:
            stop.set()
            assert 0 < left_s() <= 20
            return bench.worker.process(jobs, left_s)

    bench.put(*(make_frame(pkt) for pkt in range(20)))
    bench.workers.run(Slow(), stop)
    assert bench.store.account() == {"done": 8, "new": 12}


def test_a_worker_that_never_answers_is_no_strike_when_the_gateway_stops(
    bench: Bench, make_frame: MakePacket
) -> None:
    stop = threading.Event()

    class Stuck(Local):
        def process(self, jobs: Sequence[Job], left_s: Patience) -> list[Verdict]:
            stop.set()
            raise WorkerLostError("timeout", "no answer in time")

    bench.put(make_frame(0))
    for _ in range(3):
        stop.clear()
        bench.workers.run(Stuck(), stop)
        assert bench.store.requeue([unpack(make_frame(0)).bundle]) == {"new": 1, "waiting": 0}
    assert bench.work(), "it was not held against the frame"
