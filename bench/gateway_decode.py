"""Frames from stored packets to stored results, beside bare networks; for ``gateway.py``."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway_ingest import TOPICS, quiet
from tactic_codec import nest, stream
from tactic_codec.bundle import Bundle, file_entry, write_manifest
from tactic_codec.packet import Kind, Packet, pack
from tactic_device.encoders import onnx as encoder_runtime
from tactic_gateway.condition import Condition
from tactic_gateway.config import Workers as Settings
from tactic_gateway.decoder import Decoder
from tactic_gateway.messages import Setup
from tactic_gateway.metrics import Metrics
from tactic_gateway.models import Model
from tactic_gateway.process import Process
from tactic_gateway.records import Arrival
from tactic_gateway.store import Store
from tactic_gateway.workers import Workers

PHOTO1000 = Path(__file__).parents[1] / "bundles/photo1000"
BATCH, SIDE_PX, GEOMETRY = 8, 224, 0
ROUNDS = 3
# Batches in each turn of a round.
HEADS = {"efficientnet_lite0": 2, "inception_v3": 1}

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
