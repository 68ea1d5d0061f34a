"""The node: capture → encode → entropy-code → outbox → uplink, until the source ends or a signal.

`main` is what ``tactic device run`` calls.
"""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tactic_codec import rans
from tactic_codec.bundle import Bundle
from tactic_codec.config import load
from tactic_codec.errors import ConfigError
from tactic_codec.node_key import Purpose
from tactic_codec.packet import Packet
from tactic_codec.trusting import NOBODY
from tactic_delivery.desk import Now
from tactic_delivery.errors import CommandError
from tactic_delivery.kinds import Arguments, SetBudget, SetLevel
from tactic_device import encoders, health
from tactic_device.coder import Coder
from tactic_device.commands import Change, Commands
from tactic_device.config import LEAST_BUDGET_BYTES, DeviceConfig
from tactic_device.dispatch import Dispatch
from tactic_device.encoders import Choice
from tactic_device.health import boot_clock_ns as clock_ns
from tactic_device.installer import Installer
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
    outbox = Outbox(
        kept.path,
        rng,
        kept.max_bytes,
        kept.durability,
        key,
        memory=kept.memory,
        deadline_s=config.frames.deadline_s,
        now_ns=clock_ns(),
    )
    dispatch = Dispatch(outbox, rng, config.sending.limits)
    frames = health.Frames(clock_ns)
    over_the_air = config.bundle.slots is not None
    installer = Installer(config.bundle, key, clock_ns, log) if over_the_air else None
    at_once: dict[str, Change] = {
        "ping": lambda _: {"uptime_s": round(clock_ns() / 1e9, 1)},
        "report": lambda _: health.health(dispatch, frames, dict(uplink.counts)),
    }
    if installer:
        at_once |= {"install": installer.install, "bundle": installer.status}
    commands = Commands(
        kept.path,
        outbox.boot,
        key,
        now=_now,
        at_once=at_once,
        take_chunk=installer.take_chunk if installer else None,
        log=log,
    )

    def said(purpose: Purpose, body: dict[str, object]) -> dict[str, object]:
        return key.prove(purpose, body) if key else body

    node: Node
    uplink: Uplink = make_uplink(
        config.mqtt,
        Topics(config.mqtt.root, config.node.site, config.node.node),
        dispatch,
        key=key,
        commands=commands,
        birth=lambda: said(
            Purpose.BIRTH,
            health.birth(
                node.active.bundle, outbox.boot, choice.runtime, clock_ns, sealed=key is not None
            ),
        ),
        health=lambda: said(Purpose.HEALTH, health.health(dispatch, frames, dict(uplink.counts))),
        log=log,
        clock_ns=clock_ns,
        rng=rng,
    )
    _log_start(config, coder.bundle, choice, outbox, log)
    node = Node(
        config,
        coder,
        choice.runtime,
        dispatch,
        uplink,
        commands,
        installer,
        log,
        frames,
        stop,
    )
    uplink.start()
    try:
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


def _now() -> Now:
    return Now(clock_ns(), time.time_ns() if health.clock_is_synchronised() else None)


@dataclass(slots=True)
class Node:
    """The main thread's loop."""

    config: DeviceConfig
    coder: Coder
    runtime: str
    dispatch: Dispatch
    uplink: Uplink
    commands: Commands
    installer: Installer | None
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
            self.commands.work(self._changes)
            packet = replace(self._encode(shot), priority=self.config.frames.priority)
            self.dispatch.put(packet, clock_ns())
            self.frames.add(len(packet.payload))
            self.uplink.wake()
            if self.frames.total == limit:
                return

    @property
    def active(self) -> Coder:
        """What codes frames now: that of the bundle on trial, where there is one."""
        trial = self.installer.trial if self.installer else None
        return trial.coder if trial else self.coder

    @property
    def _changes(self) -> dict[str, Change]:
        found: dict[str, Change] = {"set_level": self._set_level, "set_budget": self._set_budget}
        return found | {"activate": self._activate} if self.installer else found

    def _encode(self, shot: Shot) -> Packet:
        if self.installer is None:
            return self.coder.encode(shot)
        before = self.active.bundle
        packet, self.coder = self.installer.encode(self.coder, shot)
        if self.active.bundle is not before:
            self.uplink.announce()
        return packet

    def _activate(self, arguments: Arguments) -> dict[str, Any]:
        assert self.installer is not None, "only then is it among the changes"
        threads = self.config.encoder.threads
        result = self.installer.activate(arguments, self.coder, self.runtime, threads)
        self.uplink.announce()
        return result

    def _set_level(self, arguments: Arguments) -> dict[str, object]:
        assert isinstance(arguments, SetLevel)
        self._not_on_trial()
        level = find_level(self.coder.bundle, arguments.level)
        self.coder = self.coder.at_level(level, self.runtime, self.config.encoder.threads)
        return {"level": level}

    def _set_budget(self, arguments: Arguments) -> dict[str, object]:
        assert isinstance(arguments, SetBudget)
        self._not_on_trial()
        budget_bytes = self.config.before_seal(arguments.budget_bytes)
        if budget_bytes is not None and budget_bytes < LEAST_BUDGET_BYTES:
            raise CommandError("arguments", "budget_bytes: too few for a packet that is sealed")
        self.coder = replace(self.coder, budget_bytes=budget_bytes)
        return {"budget_bytes": arguments.budget_bytes}

    def _not_on_trial(self) -> None:
        if self.active is not self.coder:
            raise CommandError("busy", "a bundle is on trial; try again when it has ended")

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
