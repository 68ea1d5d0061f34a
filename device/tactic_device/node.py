"""A running node: the main thread's loop, and what the gateway may change in it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from tactic_codec.node_key import NodeKey, Purpose
from tactic_codec.packet import Packet
from tactic_delivery.desk import Now
from tactic_delivery.errors import CommandError
from tactic_delivery.kinds import Arguments, Margin, Refine, SetBudget, SetLevel
from tactic_device import health
from tactic_device.admission import Admission
from tactic_device.bearer import Bearer
from tactic_device.coder import Coder, find_level
from tactic_device.commands import Change, Commands
from tactic_device.config import LEAST_BUDGET_BYTES, DeviceConfig
from tactic_device.dispatch import Dispatch
from tactic_device.health import boot_clock_ns as clock_ns
from tactic_device.heart import CAPTURE
from tactic_device.installer import Installer
from tactic_device.log import Log
from tactic_device.monitor import CHANGE_S, Monitor
from tactic_device.sources import Shot, Source

_DRAIN_LOOK_S = 0.05


class Node:
    """Frames from a source into the outbox.

    Parameters
    ----------
    config : DeviceConfig
    coder : Coder
    runtime : str
        That of its encoder.
    dispatch : Dispatch
    admission : Admission
        Chooses level and bytes of every frame, or skips it.
    key : NodeKey or None
    log : Log
    stop : threading.Event
        Ends the run.
    monitor : Monitor

    Attributes
    ----------
    uplink : Bearer
        Set before anything else is called.
    commands : Commands
        What the gateway says; the uplink's thread brings it.
    """

    uplink: Bearer

    def __init__(
        self,
        config: DeviceConfig,
        coder: Coder,
        runtime: str,
        dispatch: Dispatch,
        admission: Admission,
        key: NodeKey | None,
        log: Log,
        stop: threading.Event,
        monitor: Monitor,
    ) -> None:
        self._config = config
        self._coder = coder
        self._runtime = runtime
        self._dispatch = dispatch
        self._admission = admission
        self._key = key
        self._log = log
        self._stop = stop
        self._monitor = monitor
        self._frames = health.Frames(clock_ns)
        self._source: Source | None = None
        settings = config.bundle
        self._installer = Installer(settings, key, clock_ns, log) if settings.slots else None
        self.commands = Commands(
            config.outbox.path,
            dispatch.boot,
            key,
            now=_now,
            at_once=self._at_once,
            take_chunk=self._installer.take_chunk if self._installer else None,
            log=log,
        )

    def birth(self) -> dict[str, Any]:
        """Body of the birth message."""
        bundle, sealed = self.active.bundle, self._key is not None
        body = health.birth(bundle, self._dispatch.boot, self._runtime, clock_ns, sealed=sealed)
        return self._key.prove(Purpose.BIRTH, body) if self._key else body

    def health(self) -> dict[str, Any]:
        """Body of the health message."""
        counts = dict(self.uplink.counts)
        body = health.health(self._dispatch, self._frames, counts, self._monitor.facts())
        body["camera_restarts"] = self._source.restarts if self._source else 0
        return self._key.prove(Purpose.HEALTH, body) if self._key else body

    def figures(self) -> dict[str, Any]:
        """What counts up or stands at some value, for Prometheus."""
        return {
            "frames": self._frames.total,
            "payload_bytes": self._frames.payload_bytes,
            **self._dispatch.figures(),
            **self.uplink.counts,
            **self._monitor.facts(),
        }

    def capture(self, source: Source) -> None:
        """Put every picture into the outbox until the source or the run ends."""
        limit = self._config.source.limit
        self._source = source
        for shot in source.shots():
            if self._stop.is_set():
                return
            self._admission.miss(shot.missed, clock_ns())
            self.uplink.check()
            self.commands.work(self._changes)
            packet = self._encode(shot)
            if packet:
                packet = replace(packet, priority=self._config.frames.priority)
                admitted = self._dispatch.put(packet, clock_ns())
                self._admission.ring.keep(admitted.entry.key.pkt)
            self._frames.add(len(packet.payload) if packet else 0)
            self.uplink.wake()
            if limit and self._frames.total >= limit:
                return

    def drain(self) -> None:
        """Wait for the last acknowledgements; not when the node was told to stop."""
        drain_s = self._config.source.drain_s
        looks = int(drain_s / _DRAIN_LOOK_S)
        while (waiting := self._dispatch.waiting) and looks > 0:
            self._monitor.heart.beat(CAPTURE)
            if self._stop.wait(_DRAIN_LOOK_S):
                return
            self.uplink.check()
            looks -= 1
        if waiting:
            remedy = "they stay in the outbox for the next run; is a gateway there?"
            self._log.warning("drain_ended", waiting=waiting, after_s=drain_s, remedy=remedy)

    @property
    def active(self) -> Coder:
        """What codes frames now: that of the bundle on trial, where there is one."""
        trial = self._installer.trial if self._installer else None
        return trial.coder if trial else self._coder

    @property
    def _at_once(self) -> dict[str, Change]:
        found: dict[str, Change] = {
            "ping": lambda _: {"uptime_s": round(clock_ns() / 1e9, 1)},
            "report": lambda _: self.health(),
            "refine": self._refine,
        }
        if self._installer:
            found |= {"install": self._installer.install, "bundle": self._installer.status}
        return found

    @property
    def _changes(self) -> dict[str, Change]:
        found: dict[str, Change] = {
            "set_level": self._set_level,
            "set_budget": self._set_budget,
            "margin": self._margin,
        }
        return found | {"activate": self._activate} if self._installer else found

    def _encode(self, shot: Shot) -> Packet | None:
        if self._installer is None or self._installer.trial is None:
            return self._admission.encode(self._coder, shot, clock_ns())
        before = self.active.bundle
        packet, self._coder = self._installer.encode(self._coder, shot)
        if self.active.bundle is not before:
            self.uplink.announce()
        return packet

    def _activate(self, arguments: Arguments) -> dict[str, Any]:
        assert self._installer is not None, "only then is it among the changes"
        self._monitor.heart.beat(CAPTURE, CHANGE_S)
        threads = self._config.encoder.threads
        result = self._installer.activate(arguments, self._coder, self._runtime, threads)
        self.uplink.announce()
        return result

    def _refine(self, arguments: Arguments) -> dict[str, Any]:
        assert isinstance(arguments, Refine)
        gone = []
        for seq in arguments.frames:
            try:
                part = self._admission.ring.take(seq)
            except KeyError:
                gone.append(seq)
                continue
            if part:
                self._dispatch.put(part, clock_ns())
                self.uplink.counts["refined"] += 1
        return {"gone": gone} if gone else {}

    def _margin(self, arguments: Arguments) -> dict[str, Any]:
        assert isinstance(arguments, Margin)
        self._admission.told(arguments.margin, clock_ns())
        return {}

    def _set_level(self, arguments: Arguments) -> dict[str, object]:
        assert isinstance(arguments, SetLevel)
        self._not_on_trial()
        level = find_level(self._coder.bundle, arguments.level)
        self._monitor.heart.beat(CAPTURE, CHANGE_S)
        self._coder = self._coder.at_level(level, self._runtime, self._config.encoder.threads)
        return {"level": level}

    def _set_budget(self, arguments: Arguments) -> dict[str, object]:
        assert isinstance(arguments, SetBudget)
        self._not_on_trial()
        budget_bytes = self._config.before_seal(arguments.budget_bytes)
        if budget_bytes is not None and budget_bytes < LEAST_BUDGET_BYTES:
            raise CommandError("arguments", "budget_bytes: too few for a packet that is sealed")
        self._coder = replace(self._coder, budget_bytes=budget_bytes)
        return {"budget_bytes": arguments.budget_bytes}

    def _not_on_trial(self) -> None:
        if self.active is not self._coder:
            raise CommandError("busy", "a bundle is on trial; try again when it has ended")


def _now() -> Now:
    return Now(clock_ns(), time.time_ns() if health.clock_is_synchronised() else None)
