"""The node: capture → encode → entropy-code → outbox → uplink, until the source ends or a signal.

`main` is what ``tactic device run`` calls.
"""

from __future__ import annotations

import faulthandler
import secrets
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from tactic_codec import rans
from tactic_codec.bundle import Bundle
from tactic_codec.config import load
from tactic_codec.node_key import NodeKey
from tactic_codec.stopping import stopped_by_signals
from tactic_codec.trusting import NOBODY
from tactic_device import encoders
from tactic_device.admission import Admission, allowance_of
from tactic_device.bearer import Bearer
from tactic_device.coder import Coder, find_geometry, find_level
from tactic_device.config import DeviceConfig
from tactic_device.datagram_uplink import DatagramUplink
from tactic_device.dispatch import Dispatch
from tactic_device.encoders import Choice
from tactic_device.health import boot_clock_ns as clock_ns
from tactic_device.heart import CAPTURE, Heart
from tactic_device.log import Log
from tactic_device.metrics import Endpoint
from tactic_device.monitor import Monitor
from tactic_device.node import Node
from tactic_device.outbox import Outbox
from tactic_device.sources import Source, open_source
from tactic_device.topics import Topics
from tactic_device.trusted import accept, open_bundle
from tactic_device.uplink import Uplink

UplinkFactory = Callable[..., Bearer]


def main(config_path: Path) -> int:
    """Run the node until its source ends or SIGTERM or SIGINT arrives; return the exit code.

    Raises
    ------
    TacticError
        Its message is one line for the operator, its ``exit_code`` the command's.
    """
    # A watchdog's SIGABRT leaves behind where every thread was.
    faulthandler.enable()
    config = load(config_path, DeviceConfig)
    with stopped_by_signals() as stop:
        run(config, stop, Log(), heart=Heart.of_environment())
    return 0


def run(
    config: DeviceConfig,
    stop: threading.Event,
    log: Log,
    make_uplink: UplinkFactory = Uplink,
    heart: Heart | None = None,
) -> None:
    """Run the node.

    Parameters
    ----------
    config : DeviceConfig
    stop : threading.Event
        Ends the run; what is not acknowledged stays in the outbox.
    log : Log
    make_uplink : callable
        Takes the arguments of `Uplink`; of no use where datagrams are sent.
    heart : Heart, optional
        Told that the node's loops turn.

    Raises
    ------
    TacticError
        See the branches of `tactic_device.errors`.
    """
    monitor = Monitor(config, heart or Heart.of_environment({}), log)
    wait = monitor.heart.beating(CAPTURE, stop.wait)
    bundle = open_bundle(config.bundle)
    geometry = find_geometry(bundle, config.encoder.geometry)
    level = find_level(bundle, config.encoder.level)
    # A camera opens while a runtime is looked for.
    with closing(open_source(config.source, clock_ns, wait, log)) as source:
        choice = encoders.choose(bundle, level, config.encoder.runtime, config.encoder.threads)
        coder = Coder(bundle, choice.encoder, geometry, level, config.budget_bytes)
        accept(config.bundle, bundle)
        _run(config, coder, choice, source, stop, log, make_uplink, monitor)


def _run(
    config: DeviceConfig,
    coder: Coder,
    choice: Choice,
    source: Source,
    stop: threading.Event,
    log: Log,
    make_uplink: UplinkFactory,
    monitor: Monitor,
) -> None:
    rng = secrets.SystemRandom()
    key = config.node.read_key()
    outbox = _open_outbox(config, key, rng)
    allowance = allowance_of(config)
    dispatch = Dispatch(outbox, rng, config.limits, allowance)
    admission = Admission(config, dispatch, allowance, monitor.drift)
    node = Node(config, coder, choice.runtime, dispatch, admission, key, log, stop, monitor)
    about: dict[str, Any] = {"key": key, "log": log, "clock_ns": clock_ns, "rng": rng}
    about["monitor"] = monitor
    if config.datagram:
        about["start_within_ns"] = config.limits.start_within_ns
        node.uplink = DatagramUplink(config.datagram, dispatch, **about)
    else:
        node.uplink = make_uplink(
            config.mqtt,
            Topics(config.mqtt.root, config.node.site, config.node.node),
            dispatch,
            commands=node.commands,
            birth=node.birth,
            health=node.health,
            **about,
        )
    monitor.changed = node.uplink.report
    _log_start(config, coder.bundle, choice, outbox, log)
    node.uplink.start()
    monitor.heart.notify(f"READY=1\nSTATUS={choice.runtime}, level {coder.level}")
    try:
        with Endpoint(config.metrics, node.figures):
            node.capture(source)
            admission.close()
            node.drain()
    finally:
        monitor.heart.notify("STOPPING=1")
        node.uplink.stop()
        outbox.close()
        log.info("stopped", **dispatch.figures())
    node.uplink.check()


def _open_outbox(config: DeviceConfig, key: NodeKey | None, rng: Random) -> Outbox:
    kept = config.outbox
    return Outbox(
        kept.path,
        rng,
        kept.max_bytes,
        kept.durability,
        key,
        memory=kept.memory,
        deadline_s=config.frames.deadline_s,
        now_ns=clock_ns(),
    )


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
