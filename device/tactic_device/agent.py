"""The node: capture → encode → entropy-code → outbox → uplink, until the source ends or a signal.

`main` is what ``tactic device run`` calls.
"""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tactic_codec import nest, rans, stream
from tactic_codec.bundle import Bundle
from tactic_codec.config import load
from tactic_codec.errors import ConfigError
from tactic_codec.packet import HEADER_BYTES, TIME_UNIT_NS, Kind, Packet
from tactic_codec.trusting import NOBODY
from tactic_device import encoders, health
from tactic_device.config import DeviceConfig
from tactic_device.dispatch import Dispatch
from tactic_device.encoders import Choice, Encoder
from tactic_device.errors import EncoderError
from tactic_device.fit import fit
from tactic_device.health import boot_clock_ns as clock_ns
from tactic_device.log import Log
from tactic_device.outbox import Outbox
from tactic_device.sources import Shot, Source, open_source
from tactic_device.topics import Topics
from tactic_device.trusted import accept, open_bundle
from tactic_device.uplink import Uplink

_UINT32 = 0xFFFF_FFFF
_DRAIN_LOOK_S = 0.05

UplinkFactory = Callable[..., Uplink]


def main(config_path: Path) -> int:
    """Run the node until its source ends or SIGTERM or SIGINT arrives; return the exit code.

    Raises
    ------
    TacticError
        Its message is one line for the operator, its ``exit_code`` the command's.
    """
    config = load(config_path, DeviceConfig)
    stop = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    former = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        run(config, stop, Log())
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    return 0


def run(
    config: DeviceConfig, stop: threading.Event, log: Log, make_uplink: UplinkFactory = Uplink
) -> None:
    """Run the node.

    Parameters
    ----------
    config : DeviceConfig
    stop : threading.Event
        Ends the run; what is not acknowledged stays in the outbox.
    log : Log
    make_uplink : callable
        Takes the arguments of `Uplink`.

    Raises
    ------
    TacticError
        See the branches of `tactic_device.errors`.
    """
    bundle = open_bundle(config.bundle)
    geometry = find_geometry(bundle, config.encoder.geometry)
    level = find_level(bundle, config.encoder.level)
    # A missing camera is found before the slower search for a runtime.
    with closing(open_source(config.source, clock_ns, stop.wait)) as source:
        choice = encoders.choose(bundle, level, config.encoder.runtime, config.encoder.threads)
        coder = Coder(bundle, choice.encoder, geometry, level, config.budget_bytes)
        accept(config.bundle, bundle)
        _run(config, coder, choice, source, stop, log, make_uplink)


def _run(
    config: DeviceConfig,
    coder: Coder,
    choice: Choice,
    source: Source,
    stop: threading.Event,
    log: Log,
    make_uplink: UplinkFactory,
) -> None:
    rng = secrets.SystemRandom()
    kept = config.outbox
    key = config.node.read_key()
    outbox = Outbox(kept.path, rng, kept.max_bytes, kept.durability, key)
    dispatch = Dispatch(outbox, rng)
    frames = health.Frames(clock_ns)
    uplink: Uplink = make_uplink(
        config.mqtt,
        Topics(config.mqtt.root, config.node.site, config.node.node),
        dispatch,
        key=key,
        birth=lambda: health.birth(
            coder.bundle, outbox.boot, choice.runtime, clock_ns, sealed=key is not None
        ),
        health=lambda: health.health(dispatch, frames, dict(uplink.counts)),
        log=log,
        clock_ns=clock_ns,
        rng=rng,
    )
    _log_start(config, coder.bundle, choice, outbox, log)
    uplink.start()
    try:
        node = Node(config, coder, dispatch, uplink, log, frames, stop)
        node.capture(source)
        node.drain()
    finally:
        uplink.stop()
        outbox.close()
        log.info("stopped", **dispatch.figures())
    uplink.check()


def _log_start(
    config: DeviceConfig, bundle: Bundle, choice: Choice, outbox: Outbox, log: Log
) -> None:
    log.info(
        "started",
        node=f"{config.node.site}/{config.node.node}",
        boot=outbox.boot,
        bundle=bundle.codec.id[:16],
        signed_by=bundle.signer or NOBODY,
        runtime=choice.runtime,
        refused=choice.refused,
        rans=f"{rans.backend()} ({rans.why()})",
        backlog=len(outbox.pending.entries),
        damaged_bytes=outbox.damaged_bytes,
    )


@dataclass(frozen=True, slots=True)
class Coder:
    """Pictures to packets, for one geometry and one rate level of a bundle.

    Attributes
    ----------
    bundle : Bundle
    encoder : Encoder
        Of the level's chain.
    geometry, level : int
    budget_bytes : int or None
        No packet gets larger, header included: what does not fit is left off the stream's end.
    """

    bundle: Bundle
    encoder: Encoder
    geometry: int
    level: int
    budget_bytes: int | None = None

    def __post_init__(self) -> None:
        """Encode a black frame, so that what does not fit fails now and not in the field."""
        codec = self.bundle.codec
        size = codec.geometries[self.geometry]
        expected = (codec.channels, size.height // codec.stride, size.width // codec.stride)
        found = self.encoder.encode(np.zeros((size.height, size.width, 3), np.uint8))
        if found.dtype != np.int8 or found.shape != expected:
            raise EncoderError(
                f"{self.bundle.path}: encoder gives {found.dtype} {found.shape}, the manifest "
                f"declares {expected}; export the bundle again"
            )

    def encode(self, shot: Shot) -> Packet:
        """Make a frame packet; its numbers come from the outbox."""
        codec = self.bundle.codec
        size = codec.geometries[self.geometry]
        latent = self.encoder.encode(fit(shot.pixels, size.height, size.width))
        layers = nest.layers(self.level, codec.levels)
        planes = nest.split(nest.coarsen(latent, self.level // 2), layers)
        payload = stream.encode(planes, self.bundle.models[nest.chain(self.level)])
        if self.budget_bytes is not None:
            payload = stream.cut(payload, self.budget_bytes - HEADER_BYTES)
        return Packet(
            kind=Kind.FRAME,
            boot=0,
            pkt=0,
            payload=payload,
            bundle=codec.wire_id,
            captured=shot.captured_ns // TIME_UNIT_NS & _UINT32,
            level=self.level,
            geometry=self.geometry,
            layers=layers,
        )


@dataclass(frozen=True, slots=True)
class Node:
    """The main thread's loop."""

    config: DeviceConfig
    coder: Coder
    dispatch: Dispatch
    uplink: Uplink
    log: Log
    frames: health.Frames
    stop: threading.Event

    def capture(self, source: Source) -> None:
        """Put every picture into the outbox until the source or the run ends."""
        limit = self.config.source.limit
        for shot in source.shots():
            if self.stop.is_set():
                return
            self.uplink.check()
            packet = self.coder.encode(shot)
            admission = self.dispatch.put(packet, clock_ns())
            for decision in admission.drops:
                frames = decision.frames + decision.newcomers
                self.log.warning("dropped", reason=decision.reason.name.lower(), frames=frames)
            self.frames.add(len(packet.payload))
            self.uplink.wake()
            if self.frames.total == limit:
                return

    def drain(self) -> None:
        """Wait for the last acknowledgements; not when the node was told to stop."""
        drain_s = self.config.source.drain_s
        looks = int(drain_s / _DRAIN_LOOK_S)
        while (waiting := self.dispatch.waiting) and looks > 0:
            if self.stop.wait(_DRAIN_LOOK_S):
                return
            self.uplink.check()
            looks -= 1
        if waiting:
            remedy = "they stay in the outbox for the next run; is a gateway there?"
            self.log.warning("drain_ended", waiting=waiting, after_s=drain_s, remedy=remedy)


def find_geometry(bundle: Bundle, wanted: str | None) -> int:
    """Find the index of ``WIDTHxHEIGHT`` among the bundle's geometries; the first by default.

    Raises
    ------
    ConfigError
        The bundle does not declare it.
    """
    names = [f"{g.width}x{g.height}" for g in bundle.codec.geometries]
    if wanted is None:
        return 0
    if wanted not in names:
        raise ConfigError(
            f"encoder.geometry {wanted} is not in {bundle.path}; choose from {', '.join(names)}"
        )
    return names.index(wanted)


def find_level(bundle: Bundle, wanted: int | None) -> int:
    """Check a rate level; the one that the bundle recommends by default.

    Raises
    ------
    ConfigError
        The bundle does not declare it.
    """
    levels = bundle.codec.levels
    if wanted is None:
        return bundle.manifest.default_level
    if wanted >= levels:
        raise ConfigError(
            f"encoder.level {wanted} is not in {bundle.path}; choose from 0 to {levels - 1}"
        )
    return wanted
