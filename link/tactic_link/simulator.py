"""One setting of one codec over one link: frames, outbox, protocol, link, gateway; virtual time."""

from __future__ import annotations

from collections import Counter
from random import Random

from tactic_codec.packet import HEADER_BYTES
from tactic_link import windows
from tactic_link.channel import Channel, Meter
from tactic_link.datagram_path import DatagramPath, limits
from tactic_link.events import Events
from tactic_link.gateway import PHOTO_BYTES, Gateway
from tactic_link.ip_path import IpPath
from tactic_link.node import Camera, Node
from tactic_link.outcome import STEPS, Outcome, Recorder
from tactic_link.path import Path
from tactic_link.preset import Way
from tactic_link.scenario import Scenario
from tactic_link.tariff import cost_usd, energy_j
from tactic_link.traces import Setting

_FIRST_BOOT = 0x1000


def simulate(scenario: Scenario, setting: Setting, seed: int) -> Outcome:
    """Run one simulation.

    Parameters
    ----------
    scenario : Scenario
    setting : Setting
        How every frame is coded.
    seed : int
        Of the photos' order, the losses and the jitter.

    Returns
    -------
    Outcome
        The same for the same arguments.
    """
    return Simulation(scenario, setting, seed).run()


class Simulation:
    """Nodes, links and a gateway that live in virtual time.

    Parameters
    ----------
    scenario : Scenario
    setting : Setting
    seed : int
    """

    def __init__(self, scenario: Scenario, setting: Setting, seed: int) -> None:
        self._scenario = scenario
        self._setting = setting
        self._seed = seed
        self._end_ns = round(scenario.seconds * windows.S)
        self._events = Events()
        settings = (setting, *(scenario.rated.coarser if scenario.rated else ()))
        self._payloads = dict(enumerate(map(payloads, settings)))
        found = windows.within(scenario.contacts, self._end_ns)
        self._recorder = Recorder(settings, found)
        self._gateway = Gateway(self._recorder, self._payloads)
        count = 1 if scenario.preset.shared else scenario.nodes
        self._channels = [self._channel(number) for number in range(count)]
        self._nodes = [self._node(number) for number in range(scenario.nodes)]

    def run(self) -> Outcome:
        """Let the time pass."""
        for number, node in enumerate(self._nodes):
            node.start(self._path(number))
        for step in range(STEPS + 1):
            self._events.run(self._end_ns * step // STEPS)
            waiting = sum(node.pending.ledger.pending for node in self._nodes)
            self._recorder.look(self._events.now_ns, waiting)
        return self._outcome()

    def _rng(self, what: str) -> Random:
        return Random(f"{self._seed} {what}")

    def _channel(self, number: int) -> Channel:
        scenario = self._scenario
        rng = self._rng(f"channel {number}")
        return Channel(scenario.preset, scenario.contacts, rng, scenario.fair_use)

    def _node(self, number: int) -> Node:
        scenario = self._scenario
        period_ns = round(windows.S / scenario.fps)
        # Cameras that all begin at once would meet on the link in every period.
        rng = self._rng(f"node {number}")
        rated = scenario.rated
        alarms = rated.alarms if rated else 0.0
        camera = Camera(self._payloads, period_ns, rng.randrange(period_ns), alarms)
        boot = _FIRST_BOOT + number
        limited = limits(scenario.preset)
        budgeted = rated.begin(scenario.preset, list(self._payloads)) if rated else ()
        return Node(boot, camera, scenario.outbox_bytes, self._events, rng, limited, *budgeted)

    def _path(self, number: int) -> Path:
        scenario, events = self._scenario, self._events
        channel = self._channels[0 if scenario.preset.shared else number]
        if scenario.preset.bearer == "ip":
            return IpPath(channel, self._gateway, events, self._rng(f"path {number}"))
        beginnings = bool(self._setting.beginnings)
        allowance = self._nodes[number].allowance
        return DatagramPath(
            channel, scenario.contacts, self._gateway, events, beginnings, allowance
        )

    def _outcome(self) -> Outcome:
        scenario, recorder, meter = self._scenario, self._recorder, self._meter()
        ledgers = [node.pending.ledger for node in self._nodes]
        preset, dropped = scenario.preset, Counter[str]()
        for ledger in ledgers:
            dropped.update({reason.name.lower(): n for reason, n in ledger.dropped.items()})
        priced = bool(preset.price.model_fields_set)
        paying = len(self._channels)
        return Outcome(
            seconds=scenario.seconds,
            captured=sum(ledger.captured for ledger in ledgers),
            frames=recorder.frames,
            alarms=recorder.alarms,
            correct=recorder.correct,
            packet_bytes=recorder.packet_bytes,
            bytes_up=meter.bytes[Way.UP],
            bytes_down=meter.bytes[Way.DOWN],
            messages=meter.messages,
            sessions=meter.sessions,
            cost_usd=cost_usd(preset, meter, scenario.seconds, paying) if priced else None,
            energy_j=energy_j(preset, meter),
            sent_again=sum(node.sent_again for node in self._nodes),
            waiting=sum(ledger.pending for ledger in ledgers),
            dropped=dropped,
            delays=recorder.delays,
            by_photo=recorder.by_photo,
            contacts=recorder.contacts,
            steps=recorder.steps,
        )

    def _meter(self) -> Meter:
        """What went over all channels."""
        total = Meter()
        for meter in (channel.meter for channel in self._channels):
            for way in Way:
                total.bytes[way] += meter.bytes[way]
            total.messages += meter.messages
            total.credits += meter.credits
            total.sessions += meter.sessions
            total.airtime_ns += meter.airtime_ns
        return total


def payloads(setting: Setting) -> list[bytes]:
    """A payload for each photo: of the measured size, and naming the photo."""
    sizes = (max(PHOTO_BYTES, int(size) - HEADER_BYTES) for size in setting.packet_bytes)
    return [
        photo.to_bytes(PHOTO_BYTES, "little") + bytes(size - PHOTO_BYTES)
        for photo, size in enumerate(sizes)
    ]
