"""How many frames a gateway takes: ``python bench/gateway.py [--json] [CASE …]``.

``ingest``: stored and acknowledged, nothing decoded, from memory and through a real mosquitto.
``decode``: from stored packets to stored results, beside the bare head on raw pictures, in turns.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tactic.demo import broker as brokers
from tactic.evaluate import about
from tactic_codec import nest, stream
from tactic_codec.broker import Mqtt
from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.packet import Kind, Packet, pack
from tactic_delivery import ack
from tactic_device.encoders import onnx as encoder_runtime
from tactic_gateway.condition import Condition
from tactic_gateway.config import Workers as Settings
from tactic_gateway.decoder import Decoder
from tactic_gateway.ingest import Ingest
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.messages import Setup
from tactic_gateway.metrics import Metrics
from tactic_gateway.models import Model
from tactic_gateway.mqtt import Broker
from tactic_gateway.process import Process
from tactic_gateway.reader import Message
from tactic_gateway.records import Arrival
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics
from tactic_gateway.workers import Workers

PHOTO1000 = Path(__file__).parents[1] / "bundles/photo1000"
TOPICS = Topics("tactic/v1", "bench")
NODES, PAYLOAD_BYTES, WIRE = 4, 1180, 1
INGEST_FRAMES, MQTT_FRAMES = 20_000, 10_000
IN_FLIGHT = 64
BATCH, SIDE_PX, GEOMETRY = 8, 224, 0
ROUNDS = 3
# Batches in each turn of a round.
HEADS = {"efficientnet_lite0": 2, "inception_v3": 1}


def quiet() -> Log:
    return Log(io.StringIO())


def frame(node: str, pkt: int, payload: bytes) -> Message:
    raw = pack(Packet(Kind.FRAME, 1 << 12, pkt, payload, bundle=WIRE))
    return Message(TOPICS.of(node, "f"), raw, time.time_ns())


@contextmanager
def ingesting(folder: Path, publish: Callable[[str, bytes], None]) -> Iterator[Ingest]:
    """An ingest thread with a real store."""
    metrics, path = Metrics(), folder / f"{time.monotonic_ns()}.db"
    with closing(Store(path)) as store:
        store.requeue([WIRE])
        ingest = Ingest(
            store,
            Condition(path, 1 << 20, metrics, quiet()),
            TOPICS,
            Keys(),
            max_backlog=1_000_000_000,
            publish=publish,
            wake=lambda: None,
            metrics=metrics,
            log=quiet(),
        )
        stop = threading.Event()
        thread = threading.Thread(target=ingest.run, args=(stop,))
        thread.start()
        yield ingest
        stop.set()
        thread.join()


def ingest_from_memory(folder: Path) -> dict[str, float]:
    """Frames a second from the network thread's hands to the acknowledgement."""
    payload = Random(1).randbytes(PAYLOAD_BYTES)
    names = [f"cam{n}" for n in range(NODES)]
    messages = [frame(names[n % NODES], n // NODES, payload) for n in range(INGEST_FRAMES)]
    acknowledged: dict[str, int] = {}

    def publish(topic: str, data: bytes) -> None:
        acknowledged[topic] = ack.unpack(data).cumulative

    with ingesting(folder, publish) as ingest:
        begun_s, cpu_s = time.monotonic(), time.process_time()
        for message in messages:
            while ingest._inlet.room == 0:
                time.sleep(0.001)
            ingest.offer(message)
        while sum(acknowledged.values()) < INGEST_FRAMES:
            time.sleep(0.001)
        took_s, busy_s = time.monotonic() - begun_s, time.process_time() - cpu_s
    return {
        "frames_a_second": INGEST_FRAMES / took_s,
        "frames_a_cpu_second": INGEST_FRAMES / busy_s,
    }


def ingest_from_mosquitto(folder: Path) -> dict[str, float] | None:
    """The same through a broker, sent by a process of its own; None without mosquitto."""
    if brokers.mosquitto() is None:
        return None
    with brokers.Broker(folder, "mosquitto") as running:
        mqtt = Broker(
            Mqtt(host="127.0.0.1", port=running.port),
            TOPICS,
            metrics=Metrics(),
            log=quiet(),
            rng=Random(1),
        )
        with ingesting(folder, lambda topic, data: mqtt.publish(topic, data, 0, False)) as ingest:
            ready = threading.Event()
            mqtt.start(ingest.offer, ready.set)
            ready.wait(30)
            time.sleep(0.5)  # the broker has the subscriptions
            command = [sys.executable, __file__, "--send", str(running.port)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        mqtt.stop(1.0)
    return {"frames_a_second": MQTT_FRAMES / float(done.stdout)}


def send(port: int) -> None:
    """Publish frames as nodes do, at most so many without an acknowledgement; print the time."""
    payload = Random(1).randbytes(PAYLOAD_BYTES)
    settled = dict.fromkeys([f"cam{n}" for n in range(NODES)], 0)
    changed = threading.Condition()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    subscribed = threading.Event()
    client.on_connect = lambda c, *_: c.subscribe(TOPICS.of("+", "ack"))
    client.on_subscribe = lambda *_: subscribed.set()

    def on_message(_client: Client, _userdata: Any, message: Any) -> None:
        with changed:
            node = message.topic.split("/")[-2]
            settled[node] = max(settled[node], ack.unpack(message.payload).cumulative)
            changed.notify()

    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    subscribed.wait(30)
    begun_s = time.monotonic()
    each = MQTT_FRAMES // NODES
    sent = dict.fromkeys(settled, 0)
    while min(settled.values()) < each:
        with changed:
            for node, number in sent.items():
                for pkt in range(number, min(each, settled[node] + IN_FLIGHT)):
                    message = frame(node, pkt, payload)
                    client.publish(message.topic, message.payload)
                    sent[node] = pkt + 1
            changed.wait(1.0)
    print(time.monotonic() - begun_s)
    client.disconnect()
    client.loop_stop()


Latents = tuple[NDArray[np.int8], NDArray[np.int64]]


def probe_batch(bundle: Bundle, count: int) -> tuple[NDArray[np.uint8], Latents, list[Packet]]:
    """A batch of the probe picture, enlarged by its mirror image, as each step takes it.

    Returns
    -------
    uint8 array (N, H, W, 3)
    (int8 array (N, C, h, w), int64 array (N, C))
        Latents and their levels.
    list of Packet
        ``count`` of them, as a node sends them.
    """
    codec, level = bundle.codec, bundle.manifest.default_level
    probe = bundle.probe()[0][0]
    margin = SIDE_PX - probe.shape[0]
    picture = np.pad(probe, ((0, margin), (0, margin), (0, 0)), mode="reflect")
    encoder = encoder_runtime.load("onnxruntime", bundle.read(codec.encoders[level % 2].onnx), 1)
    layers = nest.layers(level, codec.levels)
    planes = nest.split(nest.coarsen(encoder.encode(picture), level // 2), layers)
    opening = Packet(
        Kind.FRAME,
        boot=1,
        pkt=0,
        payload=stream.encode(planes, bundle.models[nest.chain(level)]),
        bundle=codec.wire_id,
        level=level,
        geometry=GEOMETRY,
        layers=layers,
    )
    latent = Decoder(bundle, 1).latent([opening])
    batch = (np.repeat(latent.symbols[None], BATCH, 0), np.repeat(latent.levels[None], BATCH, 0))
    packets = [replace(opening, pkt=number) for number in range(count)]
    return np.repeat(picture[None], BATCH, axis=0), batch, packets


def with_head(name: str, folder: Path) -> Path:
    """The shipped bundle, with its head or with a larger one that knows nothing."""
    if name == "efficientnet_lite0":
        return PHOTO1000
    from tactic_export.onnx_gateway import write_head
    from tactic_train.heads import make_head

    root = folder / name
    shutil.copytree(PHOTO1000, root)
    write_head(make_head(f"torchvision:{name}", 1000), root / "gateway/head.onnx")
    manifest = Bundle.open(PHOTO1000).manifest
    head = manifest.heads[0].model_copy(update={"model": file_entry(root, "gateway/head.onnx")})
    write_manifest(root, manifest.model_copy(update={"heads": (head,)}))
    return root


def decode(name: str, folder: Path) -> dict[str, float]:
    """Frames a second with decoding, of the bare head, and of both bare networks, in turns."""
    bundle = Bundle.open(with_head(name, folder))
    threads = os.cpu_count() or 1
    pictures, latent, raws = probe_batch(bundle, BATCH * HEADS[name])
    networks = Networks(bundle, pictures, latent, threads)
    spent = {"gateway": Spent(), "bare_head": Spent(), "bare_networks": Spent()}
    with decoding(bundle, folder, threads) as work:
        for number in range(ROUNDS + 1):
            took = {
                "bare_head": networks.run(HEADS[name], with_decoder=False),
                "gateway": work(number, raws),
                "bare_networks": networks.run(HEADS[name], with_decoder=True),
            }
            if number:  # the first round warms up
                spent = {kind: spent[kind] + each for kind, each in took.items()}
    frames = BATCH * HEADS[name] * ROUNDS
    found = {f"{kind}_frames_a_second": frames / each.wall_s for kind, each in spent.items()}
    gateway, head, both = (spent[kind] for kind in ("gateway", "bare_head", "bare_networks"))
    return found | {
        "ratio": head.wall_s / gateway.wall_s,
        "ratio_of_cpu_time": head.cpu_s / gateway.cpu_s,
        "ratio_of_networks": both.wall_s / gateway.wall_s,
        "ratio_of_networks_cpu_time": both.cpu_s / gateway.cpu_s,
    }


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds on the clock, and of processors."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


class Networks:
    """Decoder and head alone, on what is there already, set up as a worker sets them up."""

    def __init__(
        self,
        bundle: Bundle,
        pictures: NDArray[np.uint8],
        latent: Latents,
        threads: int,
    ) -> None:
        self._pictures, self._latent = pictures, latent
        self._head = Model(bundle, bundle.manifest.heads[0].model, threads)
        self._decoder = Model(bundle, bundle.codec.decoder, threads)

    def run(self, batches: int, with_decoder: bool) -> Spent:
        """So many batches."""
        begun_s, cpu_s = time.monotonic(), time.process_time()
        for _ in range(batches):
            if with_decoder:
                self._decoder.run(*self._latent)
            self._head.run(self._pictures)
        return Spent(time.monotonic() - begun_s, time.process_time() - cpu_s)


@contextmanager
def decoding(
    bundle: Bundle, folder: Path, threads: int
) -> Iterator[Callable[[int, list[Packet]], Spent]]:
    """A store, a worker thread and its process; what is given decodes packets of a boot."""
    metrics, path = Metrics(), folder / f"{bundle.path.name}.db"
    setup = Setup(((str(bundle.path), bundle.digest),), threads, 5, 4 << 30, os.getpid())
    with closing(Store(path)) as store:
        store.requeue([bundle.codec.wire_id])
        workers = Workers(
            store,
            Condition(path, 1 << 20, metrics, quiet()),
            Settings(batch=BATCH),
            topics=TOPICS,
            publish=lambda *_: None,
            metrics=metrics,
            log=quiet(),
        )
        stop = threading.Event()
        process = Process(setup)
        thread = threading.Thread(target=workers.run, args=(process, stop))
        thread.start()

        def work(boot: int, packets: list[Packet]) -> Spent:
            fresh = [replace(packet, boot=boot) for packet in packets]
            arrivals = [Arrival("cam1", each, pack(each), time.time_ns()) for each in fresh]
            begun_s, cpu_s = time.monotonic(), cpu_seconds(process)
            store.commit(arrivals)
            workers.wake()
            while store.backlog:
                time.sleep(0.005)
            return Spent(time.monotonic() - begun_s, cpu_seconds(process) - cpu_s)

        yield work
        stop.set()
        workers.wake()
        thread.join()
        assert not any(name.startswith(("failed", "lost")) for name in metrics.snapshot())


def cpu_seconds(worker: Process) -> float:
    """Processor time of this process and of a worker."""
    running = worker._process
    assert running is not None
    fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def measure(cases: list[str], folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "ingest" in cases:
        found["ingest"] = ingest_from_memory(folder)
        found["ingest_mosquitto"] = ingest_from_mosquitto(folder)
    if "decode" in cases:
        found |= {f"decode_{name}": decode(name, folder) for name in HEADS}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=["ingest", "decode"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.send:
        send(asked.send)
        return
    with tempfile.TemporaryDirectory(prefix="tactic-bench-") as folder:
        found = measure(asked.cases, Path(folder))
    origin = {"machine": about.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    origin |= {"commit": about.commit(), "date": about.date()}
    if asked.json:
        print(json.dumps({"about": origin, **found}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in origin.items()))
    for name, values in found.items():
        figures = ", ".join(f"{k} {v:.2f}" for k, v in values.items()) if values else "no mosquitto"
        print(f"{name}: {figures}")


if __name__ == "__main__":
    main()
